"""Candidates that were never trained: one C step on the reference's weights, seconds where a trial takes a training."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from condensa_core.export import OnnxFile
from condensa_core.flow.candidate import Structure, cut_model, finished
from condensa_core.flow.carrying import carry
from condensa_core.flow.effort import settings_for
from condensa_core.flow.objective import REFERENCE, Objective
from condensa_core.flow.packed import packed
from condensa_core.flow.splitting import split
from condensa_core.flow.timing import takes_programs, write_program
from condensa_core.flow.trial import Judged
from condensa_core.flow.workbench import Workbench
from condensa_core.learning import c_step, mu_ladder, put_in_place
from condensa_core.progress import Advanced, Listener
from condensa_core.recipe import STRUCTURED
from condensa_core.search import Point

# How far activations reach decides neither speed nor size.
PROFILED_RANGE_SAMPLES = 32


def structure_at(bench: Workbench, point: Point) -> tuple[Structure, nn.Module]:
    """What one C step decides at these knob values, and the model with the weights that it leaves."""
    model = copy.deepcopy(bench.model)
    weights = {n: p.detach() for n, p in model.named_parameters()}
    parts = bench.parts_at(dict(point))
    mu = None
    if bench.recipe.compress.method == "lc":
        mu = mu_ladder(settings_for(bench.recipe, bench.splits, bench.model), weights, parts)[0]
    codes, theta = c_step(weights, parts, mu)
    put_in_place(model, theta, codes, parts)
    return Structure.of(codes), model


def measured_untrained(
    bench: Workbench,
    points: Sequence[Point],
    objective: Objective,
    reference: Judged,
    listener: Listener,
    *,
    seconds: float,
) -> tuple[float, list[float | None]]:
    """The objective of the reference, and of the untrained candidate at each of n points: n values, in that order.

    Candidates are the trained weights after one C step: what is cut decides the objective, not what the rest was
    trained to. Points that cut the same number of every family, and agree in all that is no removal of channels, share
    one. What is measured is measured in turns with the reference, for about `seconds`. Advances phase `profile`.
    """
    with tempfile.TemporaryDirectory(prefix="condensa-profile-") as folder:
        found: dict[object, tuple[Path, float | None]] = {}
        keys: list[object] = []
        for done, point in enumerate(points, 1):
            structure, model = structure_at(bench, point)
            key = _sharing_key(bench, point, structure)
            keys.append(key)
            if key not in found:
                path = Path(folder) / f"{done}.onnx"
                found[key] = path, _counted(bench, point, structure, model, objective, reference.file, path)
            listener(Advanced("profile", done, dict(point)))
        if not objective.measured:
            base = objective.count(reference.model, bench.example, reference.sizes)
            return base, [found[key][1] for key in keys]
        files = {REFERENCE: reference.file.path} | {path.stem: path for path, _ in found.values()}
        # The reference's session is judged before anything is trained; of these candidates nothing ships.
        comparison = objective.time(files, seconds=seconds, rounds=20, judged=[REFERENCE])
    base = objective.read(comparison, REFERENCE).value
    ratios = {key: objective.read(comparison, path.stem).ratio.value for key, (path, _) in found.items()}
    return base, [objective.scaled(base, ratios[key]) for key in keys]


def _sharing_key(bench: Workbench, point: Point, structure: Structure) -> object:
    """Equal for points whose candidates have the same shapes and numbers of the same form."""
    schemes = (scheme for rule in bench.recipe.rules.values() for scheme in rule.scheme)
    within = frozenset().union(*(scheme.knobs for scheme in schemes if scheme.kind not in STRUCTURED))
    return structure.counts(), tuple((name, value) for name, value in point.items() if name in within)


def _counted(
    bench: Workbench,
    point: Point,
    structure: Structure,
    model: nn.Module,
    objective: Objective,
    like: OnnxFile,
    path: Path,
) -> float | None:
    """What is counted of the candidate of `structure_at`; None, with its file at `path`, where it is measured."""
    small, structure = split(bench, cut_model(bench, model, structure), structure)
    shipped = finished(bench, small, structure)
    if objective.name in ("macs", "params"):
        return objective.count(shipped, bench.example, {})
    carried = carry(
        bench, small, shipped, structure, path, like,
        backend=objective.target.backend,
        observers=bench.plan.observers(dict(point)),
        samples=PROFILED_RANGE_SAMPLES,
    )  # fmt: skip
    if objective.measured and takes_programs(objective.target):
        write_program(shipped, bench.example, path)
    sizes = {"size.onnx": carried.shipped.size_bytes}
    if objective.name == "size.packed":
        sizes["size.packed"] = packed(bench, small, shipped, structure, path, path.with_suffix(".packed")).size_bytes
    return None if objective.measured else objective.count(shipped, bench.example, sizes)
