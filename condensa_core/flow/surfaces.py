"""The objective over several knobs, measured on untrained candidates of a small design."""

from __future__ import annotations

from condensa_core.flow.objective import Objective
from condensa_core.flow.profiling import MARGIN
from condensa_core.flow.trial import Judged
from condensa_core.flow.untrained import measured_untrained
from condensa_core.flow.workbench import Workbench
from condensa_core.progress import Listener, PhaseEnded, PhaseStarted
from condensa_core.search import ObjectiveSurface, Point, Space, point_key, sobol_units

ALONE = 5  # values of each knob by itself, all choices where there are no more
DIAGONAL = 5
# Points that fill the space; where a candidate costs more than counting, fewer.
SCATTERED = 32
SCATTERED_FILES = 12
SCATTERED_PACKED = 6
SECONDS = 20.0


def surface(
    bench: Workbench, space: Space, objective: Objective, reference: Judged, listener: Listener
) -> ObjectiveSurface:
    """The objective at the points of `design`, in turns with the reference; between them it is interpolated."""
    scattered = SCATTERED if objective.name in ("macs", "params") else SCATTERED_FILES
    points = design(bench, space, SCATTERED_PACKED if objective.name == "size.packed" else scattered)
    listener(PhaseStarted("profile", total=len(points), detail=f"{objective.name} over {', '.join(space.names)}"))
    base, found = measured_untrained(bench, points, objective, reference, listener, seconds=SECONDS)
    result = ObjectiveSurface(
        space,
        base,
        tuple(zip(points, found, strict=True)),
        direction=objective.direction,
        margin=MARGIN if objective.measured else 0.0,
        name=objective.name,
    )
    best = max((result.gain(value, base) for value in found if value is not None), default=0.0)
    listener(PhaseEnded("profile", f"{len(points)} settings; the strongest is {1 + best:.3g} times better"))
    return result


def design(bench: Workbench, space: Space, scattered: int) -> list[Point]:
    """Each knob alone from mild to strong, the others at their mildest; all together along the diagonal; and a
    scrambled Sobol set of `scattered` points, by the recipe's seed. Each point once."""
    mildest = {knob.name: knob.grid(2)[0] for knob in space.knobs}
    alone = [{**mildest, knob.name: value} for knob in space.knobs for value in knob.grid(_count(knob.choices))]
    along = [[(i + 1) / DIAGONAL] * len(space.knobs) for i in range(DIAGONAL)]
    spread = sobol_units(scattered, len(space.knobs), bench.seed.child("surface")).tolist()
    points = [mildest, *alone, *(space.decode(units) for units in [*along, *spread])]
    return list({point_key(point): point for point in points}.values())


def _count(choices: tuple[object, ...] | None) -> int:
    return ALONE if choices is None else max(ALONE, len(choices), 2)
