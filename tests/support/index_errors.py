"""Single-index errors planted in the maps of kept positions: what the equality check must catch."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from unittest.mock import patch

import numpy as np
from random_networks import RandomNetwork
from removal_trials import DIFFERENT, difference, fresh_inputs, removals
from torch import nn

from condensa_core.errors import NotEquivalent
from condensa_core.graph import Family, Keep, Member, ModelGraph, analyse
from condensa_core.materialise import Kept, check_equivalence, cut_program, kept_positions, reference, shrink

ROUTES: Final = ("program", "module", "family")


@dataclass(frozen=True)
class Planted:
    """One error, where it was planted, and what became of it.

    `route` says who believed the wrong map: the cut of the program, the cut of the modules, or everybody, masked model
    included, because the family itself was wrong. `fate`: harmless (the faulty model computes what a right one does, on
    inputs that the check does not see), not built (the faulty cut is no model), caught or missed by the check.
    """

    route: str
    tensor: str
    dim: int
    side: str
    fate: str


@dataclass(frozen=True, eq=False)
class _Case:
    network: RandomNetwork
    graph: ModelGraph
    keep: Keep
    family: Family
    member: Member


def plant_error(network: RandomNetwork, route: str, generator: np.random.Generator) -> Planted | None:
    """Plants one error in a cut of the network and checks it; None where this route has no right cut to spoil."""
    graph = analyse(network, network.example_inputs())
    kept = dict(removals(graph, generator)).get("uneven")
    families = [f for f in graph.families if kept is not None and not kept[f.name].all()]
    if kept is None or not families:
        return None
    family = families[generator.integers(len(families))]
    case = _Case(network, graph, kept, family, family.members[generator.integers(len(family.members))])
    cut: Callable[[nn.Module, ModelGraph, Keep], nn.Module] = shrink if route == "module" else cut_program
    expected, right = reference(network, graph, kept), cut(network, graph, kept)
    try:
        check_equivalence(expected, right, network.example_inputs())
    except NotEquivalent:
        return None  # this forward does not survive a cut of its modules
    return Planted(route, case.member.name, case.member.dim, case.member.side, _fate(case, route, generator, right))


def _fate(case: _Case, route: str, generator: np.random.Generator, right: nn.Module) -> str:
    graph, innocent = case.graph, [right]
    try:
        if route == "family":
            graph, renumbered = _spoilt_graph(case, generator)
            faulty: nn.Module = cut_program(case.network, graph, case.keep)
            # Where no other tensor of the family matters, all that the swap did is to exchange two units.
            innocent.append(cut_program(case.network, case.graph, renumbered))
        else:
            cut = shrink if route == "module" else cut_program
            with patch.object(sys.modules[cut.__module__], "kept_positions", _spoilt_positions(case, generator)):
                faulty = cut(case.network, graph, case.keep)
    except Exception:  # such a cut crashes in ways of its own
        return "not built"
    if not all(_changes(other, faulty, case.network) for other in innocent):
        return "harmless"
    try:
        check_equivalence(reference(case.network, graph, case.keep), faulty, case.network.example_inputs())
    except NotEquivalent:
        return "caught"
    return "missed"


def _changes(right: nn.Module, faulty: nn.Module, network: RandomNetwork) -> bool:
    try:
        return any(difference(right, faulty, fresh_inputs(network, seed)) > DIFFERENT for seed in range(2, 5))
    except (RuntimeError, AssertionError):  # does not run, or gives other shapes
        return True


def _spoilt_positions(case: _Case, generator: np.random.Generator) -> Callable[[ModelGraph, Keep], dict[str, Kept]]:
    """`kept_positions` with one position of one tensor swapped for a removed one."""
    name, dim = case.member.name, case.member.dim
    kept = kept_positions(case.graph, case.keep)
    positions = kept[name][dim]
    assert positions is not None
    gone = np.setdiff1d(np.arange(case.graph.shapes[name][dim]), positions)
    spoilt = positions.copy()
    spoilt[generator.integers(len(spoilt))] = gone[generator.integers(len(gone))]
    tensor = (*kept[name][:dim], spoilt, *kept[name][dim + 1 :])
    names = {name, *(alias for alias, first in case.graph.aliases.items() if first == name)}
    return lambda graph, keep: kept | dict.fromkeys(names, tensor)


def _spoilt_graph(case: _Case, generator: np.random.Generator) -> tuple[ModelGraph, Keep]:
    """The graph with one position of a removed unit and one of a surviving unit swapped, in one member; and the units
    to keep if these two had changed places altogether."""
    survives = case.keep[case.family.name]
    index = case.member.index.copy()
    here, there = (
        (generator.choice(np.flatnonzero(units)), generator.integers(index.shape[1])) for units in (~survives, survives)
    )
    renumbered = survives.copy()
    renumbered[[here[0], there[0]]] = True, False
    index[here], index[there] = index[there], index[here]
    spoilt = dataclasses.replace(case.member, index=index)
    members = tuple(spoilt if member is case.member else member for member in case.family.members)
    family = dataclasses.replace(case.family, members=members)
    families = tuple(family if f is case.family else f for f in case.graph.families)
    return dataclasses.replace(case.graph, families=families), {**case.keep, case.family.name: renumbered}
