"""The objective over the knob, measured on untrained candidates: seconds instead of training runs."""

from __future__ import annotations

from condensa_core.flow.objective import Objective
from condensa_core.flow.trial import Judged
from condensa_core.flow.untrained import measured_untrained
from condensa_core.flow.workbench import Workbench
from condensa_core.progress import Listener, PhaseEnded, PhaseStarted
from condensa_core.search import Knob, ObjectiveProfile

GRID = 20
# Where a candidate must be packed to be counted: seconds each, on a curve without staircases.
PACKED_GRID = 9
SECONDS = 10.0
# A measured gain below this may be noise: intervals of single comparisons are 2 to 5 % wide on a shared machine.
MARGIN = 0.03


def profile(
    bench: Workbench, knob: Knob, objective: Objective, reference: Judged, listener: Listener
) -> ObjectiveProfile:
    """The objective at up to GRID (or PACKED_GRID) knob values from mild to strong, in turns with the reference."""
    values = knob.grid(PACKED_GRID if objective.name == "size.packed" else GRID)
    listener(PhaseStarted("profile", total=len(values), detail=f"{objective.name} over {knob.name}"))
    points = [{knob.name: value} for value in values]
    base, found = measured_untrained(bench, points, objective, reference, listener, seconds=SECONDS)
    result = ObjectiveProfile.measured(
        knob,
        zip(values, found, strict=True),
        base,
        objective.direction,
        MARGIN if objective.measured else 0.0,
        objective.name,
    )
    listener(PhaseEnded("profile", f"{len(result.records())} of {len(values)} settings are worth a trial"))
    return result
