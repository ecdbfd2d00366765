"""Removals tried on random networks, and everything that must hold of them: what the tests and the benchmark share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from random_networks import VOCABULARY, RandomNetwork
from torch import Tensor, nn

from condensa_core.errors import NotEquivalent, SchemeError
from condensa_core.graph import Keep, ModelGraph, analyse
from condensa_core.materialise import check_equivalence, cut_program, masked, reference, shrink

TOLERANCE = 1e-10  # relative, in float64: correct cuts are seen below 1e-13, wrong ones above 1e-6
DIFFERENT = 1e-9


@dataclass
class Trials:
    """What was tried on a network, and what went wrong (each with the removal and the sentence of the error)."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def removals(graph: ModelGraph, generator: np.random.Generator) -> Iterator[tuple[str, Keep]]:
    """Keeps of four kinds: one unit less, half of everything, one survivor in each family, any number of any."""
    if not graph.families:
        return
    chosen = graph.families[generator.integers(len(graph.families))]
    yield "one unit", {chosen.name: np.arange(chosen.size) != generator.integers(chosen.size)}
    yield "half", {f.name: _keeping(f.size, (f.size + 1) // 2, generator) for f in graph.families}
    yield "one survivor", {f.name: _keeping(f.size, 1, generator) for f in graph.families}
    uneven = {f.name: _keeping(f.size, int(generator.integers(1, f.size + 1)), generator) for f in graph.families}
    if any(not kept.all() for kept in uneven.values()):
        yield "uneven", uneven


def _keeping(size: int, count: int, generator: np.random.Generator) -> np.ndarray:
    return generator.permutation(size) < count


def try_removals(network: RandomNetwork, *, thorough: bool = True) -> Trials:
    """Cuts the network in several ways and tells every way in which a cut is not what it must be.

    Each cut program is held against the masked model (the reference where a norm averages over removed channels), on
    inputs that the check does not see as well, and must be smaller; so is one without some branches. The module route
    may refuse, but not differ. With `thorough` (which takes two more exports) one cut is exported again, and a cut of
    the strict analysis must equal the masked model.
    """
    trials = Trials()
    generator = np.random.default_rng(network.program.seed)
    inputs = network.example_inputs()
    try:
        graph = analyse(network, inputs)
        strict = analyse(network, inputs, strict=True) if thorough else None
    except Exception as error:
        trials.wrong.append(f"analysis: {error!r}")
        return trials
    trials.counts.update(
        networks=1,
        blocks=len(network.reads),
        families=len(graph.families),
        averaged_families=sum(bool(f.averaged) for f in graph.families),
        unknown_operators=len(graph.unknown_operators),
    )
    changed = 0
    keeps: list[Keep] = [{}]
    for kind, keep in removals(graph, generator):
        trials.counts["cuts"] += 1
        try:
            changed += _try_cut(network, graph, keep, trials.counts, export=thorough and kind == "half")
        except Exception as error:  # whatever it is, this removal was not right
            trials.wrong.append(f"{kind} of {_shown(keep)}: {error!r}")
        keeps.append(keep)
    branches = [branch.name for branch in graph.branches]
    if branches:
        without = [name for name in branches if generator.integers(2)] or branches[:1]
        trials.counts["branch_cuts"] += 1
        try:
            _try_without(network, graph, keeps[-1], without)
        except Exception as error:
            trials.wrong.append(f"without {without} and {_shown(keeps[-1])}: {error!r}")
    if strict is not None and strict.families:
        *_, (kind, keep) = removals(strict, generator)
        trials.counts["strict_cuts"] += 1
        try:
            assert not any(family.averaged for family in strict.families)
            check_equivalence(masked(network, strict, keep), cut_program(network, strict, keep), inputs, TOLERANCE)
        except Exception as error:
            trials.wrong.append(f"strict, {kind} of {_shown(keep)}: {error!r}")
    trials.counts["changing_cuts"] += changed
    return trials


def _try_cut(network: RandomNetwork, graph: ModelGraph, keep: Keep, counts: Counter[str], *, export: bool) -> bool:
    """Whether the cut changes what the network computes; raises whatever is wrong about it."""
    inputs = network.example_inputs()
    averaged = any(graph.family(name).averaged and not kept.all() for name, kept in keep.items())
    counts["averaged_cuts"] += averaged
    expected = (reference if averaged else masked)(network, graph, keep)
    small = cut_program(network, graph, keep)
    check_equivalence(expected, small, inputs, TOLERANCE)
    others = fresh_inputs(network, 1)
    assert difference(expected, small, others) < DIFFERENT, "differs on inputs that the check did not see"
    assert parameters(small) < parameters(network), "nothing was removed"
    try:
        shrunk = shrink(network, graph, keep)
        check_equivalence(expected, shrunk, inputs, TOLERANCE)
    except NotEquivalent:
        counts["module_refusals"] += 1
    else:
        assert difference(small, shrunk, others) < DIFFERENT, "the two routes differ"
        counts["module_cuts"] += 1
    if export:
        again = torch.export.export(small, inputs, strict=False).module(check_guards=False)
        assert difference(small, again, others) < DIFFERENT, "exported again, it computes something else"
        counts["exports"] += 1
    return difference(network, small, others) > DIFFERENT


def _try_without(network: RandomNetwork, graph: ModelGraph, keep: Keep, without: list[str]) -> None:
    """Removes branches, alone and with units."""
    for kept in ({}, keep):
        try:
            small = cut_program(network, graph, kept, without)
        except SchemeError:
            return  # both operands of one addition
        expected = reference(network, graph, kept, without)
        check_equivalence(expected, small, network.example_inputs(), TOLERANCE)
        assert difference(expected, small, fresh_inputs(network, 1)) < DIFFERENT, "differs on other inputs"
        assert parameters(small) < parameters(network), "nothing was removed"


def _shown(keep: Keep) -> dict[str, str]:
    return {name: "".join(".x"[int(k)] for k in kept) for name, kept in keep.items()}


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in model.buffers())


def fresh_inputs(network: RandomNetwork, seed: int) -> tuple[Tensor, ...]:
    """Inputs that nothing else draws."""
    (example,) = network.example_inputs()
    generator = torch.Generator().manual_seed(9000 + seed)
    if example.is_floating_point():
        return (torch.randn(example.shape, generator=generator, dtype=torch.float64),)
    return (torch.randint(0, VOCABULARY, example.shape, generator=generator),)


def difference(a: nn.Module, b: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """The largest relative difference of any output."""
    with torch.no_grad():
        ours, theirs = (_listed(model(*inputs)) for model in (a, b))
    assert [y.shape for y in ours] == [z.shape for z in theirs]
    return max(float((y - z).abs().max() / y.abs().max().clamp_min(1e-12)) for y, z in zip(ours, theirs, strict=True))


def _listed(out: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [out] if isinstance(out, Tensor) else list(out)
