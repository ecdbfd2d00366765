"""The objective over the knob, measured on untrained candidates: seconds instead of training runs."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

from torch import nn

from condensa_core.export import OnnxFile
from condensa_core.flow.candidate import Structure, cut_model, finished
from condensa_core.flow.carrying import carry
from condensa_core.flow.effort import settings_for
from condensa_core.flow.objective import REFERENCE, Objective
from condensa_core.flow.packed import packed
from condensa_core.flow.splitting import split
from condensa_core.flow.trial import Judged
from condensa_core.flow.workbench import Workbench
from condensa_core.learning import c_step, mu_ladder, put_in_place
from condensa_core.progress import Advanced, Listener, PhaseEnded, PhaseStarted
from condensa_core.search import Knob, ObjectiveProfile, Value

GRID = 20
# Where a candidate must be packed to be counted: seconds each, on a curve without staircases.
PACKED_GRID = 9
SECONDS = 10.0
# How far activations reach decides neither speed nor size.
PROFILED_RANGE_SAMPLES = 32
# A measured gain below this may be noise: intervals of single comparisons are 2 to 5 % wide on a shared machine.
MARGIN = 0.03


def profile(
    bench: Workbench, knob: Knob, objective: Objective, reference: Judged, listener: Listener
) -> ObjectiveProfile:
    """The objective at up to GRID (or PACKED_GRID) knob values from mild to strong, in turns with the reference.

    Candidates are the trained weights after one C step: what is cut decides the objective, not what the rest was
    trained to. Settings that cut the same number of every family, and compress nothing else, share one candidate.
    """
    values = knob.grid(PACKED_GRID if objective.name == "size.packed" else GRID)
    listener(PhaseStarted("profile", total=len(values), detail=f"{objective.name} over {knob.name}"))
    with tempfile.TemporaryDirectory(prefix="condensa-profile-") as folder:
        found: dict[object, tuple[Path, float | None]] = {}
        keys: dict[Value, object] = {}
        for done, value in enumerate(values, 1):
            structure, model = _structure_at(bench, knob.name, value)
            key = keys[value] = (structure.counts(), value if structure.codes else None)
            if key not in found:
                found[key] = _candidate(
                    bench, structure, model, objective, reference.file, Path(folder) / f"{done}.onnx"
                )
            listener(Advanced("profile", done, {knob.name: value}))
        if objective.measured:
            files = {REFERENCE: reference.file.path} | {path.stem: path for path, _ in found.values()}
            comparison = objective.time(files, seconds=SECONDS, rounds=20)
            base = objective.read(comparison, REFERENCE).value
            reached = {
                key: objective.scaled(base, objective.read(comparison, path.stem).ratio.value)
                for key, (path, _) in found.items()
            }
        else:
            base = objective.count(reference.model, bench.example, reference.sizes)
            reached = {key: counted for key, (_, counted) in found.items() if counted is not None}
    result = ObjectiveProfile.measured(
        knob,
        [(value, reached[keys[value]]) for value in values],
        base,
        objective.direction,
        MARGIN if objective.measured else 0.0,
        objective.name,
    )
    listener(PhaseEnded("profile", f"{len(result.records())} of {len(values)} settings are worth a trial"))
    return result


def _structure_at(bench: Workbench, name: str, value: Value) -> tuple[Structure, nn.Module]:
    """What one C step decides, and the model with the weights that it leaves."""
    model = copy.deepcopy(bench.model)
    weights = {n: p.detach() for n, p in model.named_parameters()}
    parts = bench.parts_at({name: value})
    mu = None
    if bench.recipe.compress.method == "lc":
        mu = mu_ladder(settings_for(bench.recipe, bench.splits, bench.model), weights, parts)[0]
    codes, theta = c_step(weights, parts, mu)
    put_in_place(model, theta, codes, parts)
    return Structure.of(codes), model


def _candidate(
    bench: Workbench, structure: Structure, model: nn.Module, objective: Objective, like: OnnxFile, path: Path
) -> tuple[Path, float | None]:
    small, structure = split(bench, cut_model(bench, model, structure), structure)
    shipped = finished(bench, small, structure)
    if objective.name in ("macs", "params"):
        return path, objective.count(shipped, bench.example, {})
    backend = objective.target.backend
    carried = carry(bench, small, shipped, structure, path, like, backend=backend, samples=PROFILED_RANGE_SAMPLES)
    sizes = {"size.onnx": carried.shipped.size_bytes}
    if objective.name == "size.packed":
        sizes["size.packed"] = packed(bench, small, shipped, structure, path, path.with_suffix(".packed")).size_bytes
    return path, None if objective.measured else objective.count(shipped, bench.example, sizes)
