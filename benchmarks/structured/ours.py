"""The engine on one architecture: analysed once, cut at several levels, every cut judged twice."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from architecture import Architecture
from measures import dims_cut, layers_cut, macs, parameters, timed, weighted_layers
from oracle import judge, mark, read_survivors
from torch import nn

from condensa_core.errors import CondensaError, WorkloadError
from condensa_core.graph import Family, ModelGraph, analyse, analysis
from condensa_core.materialise import check_equivalence, deliver
from condensa_core.materialise.masking import averages, masked, reference
from condensa_core.materialise.program import cut_program

Keep = dict[str, np.ndarray]

HALF = "50 %"
# Units of a family that survive. "one gone" takes the least from every family, "one left" the most.
LEVELS: dict[str, Callable[[int], int]] = {
    "25 %": lambda size: size - size // 4,
    HALF: lambda size: size - size // 2,
    "75 %": lambda size: size - size * 3 // 4,
    "one gone": lambda size: size - 1,
    "one left": lambda size: 1,
}


def cut_at_all_levels(architecture: Architecture) -> dict[str, Any]:
    """`verdict` is REFUSED where the model cannot be analysed, else the worst of its levels (see `_cut`)."""
    return _analysed_and_cut(architecture, LEVELS, strict=False)


def cut_strictly(architecture: Architecture) -> dict[str, Any]:
    """As `cut_at_all_levels`, in strict mode, at 50 %: every cut has to equal the masked model itself."""
    return _analysed_and_cut(architecture, {HALF: LEVELS[HALF]}, strict=True)


def _analysed_and_cut(
    architecture: Architecture, levels: dict[str, Callable[[int], int]], *, strict: bool
) -> dict[str, Any]:
    model, inputs = architecture.prepared()
    layers = weighted_layers(model)
    record: dict[str, Any] = {
        "layers": len(layers),
        "parameters": parameters(model),
        "macs": macs(model, inputs),
    }
    try:
        graph, export_s, analysis_s = timed_analysis(model, inputs, strict=strict)
    except WorkloadError as error:
        return {**record, "verdict": "REFUSED", "error": str(error)[:400]}
    record |= {"export_s": export_s, "analysis_s": analysis_s, **_described(graph)}
    record["levels"] = {}
    for level, survivors_of in levels.items():
        keep = strongest(model, graph, survivors_of)
        record["levels"][level] = _cut(model, inputs, graph, keep, layers, strict=strict)
        if level == HALF and not strict:
            record |= _module_route(model, inputs, graph, keep)
    verdicts = [cut["verdict"] for cut in record["levels"].values()]
    record["verdict"] = next((v for v in ("CRASH", "WRONG", "EXACT-N") if v in verdicts), "EXACT")
    return record


def timed_analysis(model: nn.Module, inputs: Any, *, strict: bool = False) -> tuple[ModelGraph, float, float]:
    """The graph, and the processor seconds of torch.export and of everything else."""
    with _export_timed() as exported:
        graph, total = timed(lambda: analyse(model, inputs, strict=strict))
    return graph, exported[0], total - exported[0]


@contextmanager
def _export_timed() -> Iterator[list[float]]:
    capture, seconds = analysis.capture, [0.0]

    def timed_capture(*arguments: Any) -> Any:
        captured, seconds[0] = timed(lambda: capture(*arguments))
        return captured

    analysis.capture = timed_capture
    try:
        yield seconds
    finally:
        analysis.capture = capture


def strongest(model: nn.Module, graph: ModelGraph, survivors_of: Callable[[int], int]) -> Keep:
    """The units of each family whose producing rows have the largest l2 norm."""
    weights = dict(model.named_parameters(remove_duplicate=False))
    keep = {}
    for family in graph.families:
        order = np.argsort(-_energy(weights, family), kind="stable")
        keep[family.name] = np.zeros(family.size, bool)
        keep[family.name][order[: survivors_of(family.size)]] = True
    return keep


def _energy(weights: dict[str, torch.nn.Parameter], family: Family) -> np.ndarray:
    energy = np.zeros(family.size)
    for member in family.members:
        if member.side == "produces" and member.name in weights:
            squares = weights[member.name].detach().double().square().movedim(member.dim, 0).flatten(1).sum(1)
            energy += squares.numpy()[member.index].sum(1)
    return energy


def _described(graph: ModelGraph) -> dict[str, Any]:
    return {
        "families": len(graph.families),
        "units": sum(family.size for family in graph.families),
        "kinds": dict(Counter(family.unit for family in graph.families)),
        "averaging": sorted({name for family in graph.families for name in family.averaged}),
        "unknown": dict(graph.unknown_operators),
        "frozen": [[f.layer, f.reason, f.operator, f.line] for f in graph.frozen],
    }


def _cut(
    model: nn.Module, inputs: Any, graph: ModelGraph, keep: Keep, layers: list[str], *, strict: bool
) -> dict[str, Any]:
    """One cut. `verdict`: EXACT or EXACT-N when both judges agree, else WRONG; CRASH when there is no program at all.

    The first judge is the engine's own check, against the masked model (of which norms see the survivors only, which
    makes it EXACT-N); the second, `oracle`, trusts nothing of the engine.
    """
    try:
        small, cut_s = timed(lambda: cut_program(model, graph, keep))
    except Exception as error:  # a crash of the engine is a result
        return {"verdict": "CRASH", "error": f"{type(error).__name__}: {error}"[:400]}
    marked = copy.deepcopy(model)
    mark(marked)
    survivors = read_survivors(cut_program(marked, graph, keep), model)
    dims = dims_cut(model, small)
    cut: dict[str, Any] = {
        "cut_s": cut_s,
        "dims_cut": dims,
        "layers_cut": len(layers_cut(layers, dims)),
        "layers_kept": sorted(set(layers) - set(layers_cut(layers, dims))),
        "parameters": parameters(small),
    }
    expected = masked(model, graph, keep) if strict else reference(model, graph, keep)
    own = "EXACT-N" if averages(graph, keep) and not strict else "EXACT"
    try:
        cut["macs"] = macs(small, inputs)
        cut["own_error"] = check_equivalence(expected, small, inputs)
    except Exception as error:
        own, cut["error"] = "WRONG", f"{type(error).__name__}: {error}"[:400]
    finding = judge(model, small, survivors, inputs) if own != "WRONG" else None
    cut["own"] = own
    if finding is not None:
        cut |= {"independent": finding.verdict, "difference": finding.error, "effect": finding.effect}
    right = finding is not None and finding.verdict in ("EXACT", own)
    cut["verdict"] = own if right else "WRONG"
    return cut


def _module_route(model: nn.Module, inputs: Any, graph: ModelGraph, keep: Keep) -> dict[str, Any]:
    """Whether the cut works on the user's own classes, without a captured program, and the seconds of cut and proof."""
    try:
        _, seconds = timed(lambda: deliver(model, graph, keep, inputs, ("module",)))
    except CondensaError as refusal:
        return {"module": False, "module_error": str(refusal)[:300]}
    except Exception as crash:  # a crash of the engine is a result
        return {"module": False, "module_error": f"{type(crash).__name__}: {crash}"[:300]}
    return {"module": True, "module_s": seconds}
