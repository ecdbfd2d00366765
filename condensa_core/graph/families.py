"""Solved ties become units, units become families; what cannot be removed is listed with its reason."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np

from condensa_core.graph.channels import Family, Frozen, Member, Side, Unit
from condensa_core.graph.labels import Channels, Classes
from condensa_core.graph.propagation import Propagation, base_name
from condensa_core.graph.sides import Slot, settle_grids, signatures

_SIDES: Final[tuple[Side, ...]] = ("produces", "follows", "consumes")
_UNITS: Final[tuple[Unit, ...]] = ("channel", "group", "head", "hidden unit")


def layer_of(tensor: str) -> str:
    """The module that owns a parameter; a parameter of the model itself is its own layer."""
    return tensor.rpartition(".")[0] or tensor


@dataclass(frozen=True, eq=False)
class _Place:
    """One dimension of a parameter or buffer."""

    name: str
    dim: int
    labels: np.ndarray
    worth: float
    side: Side


def families_of(walk: Propagation) -> tuple[tuple[Family, ...], tuple[Frozen, ...], Classes]:
    """All families in order of their first producing layer, what is frozen in order of the layers, and the classes."""
    side_of = _first_words(walk.labels.count, [(labels, _SIDES.index(side)) for labels, side in walk.marks])
    places = [
        _Place(name, dim, carried.labels, _worth(walk.captured.shapes[name], dim), _side(side_of, carried))
        for name in walk.captured.shapes  # in the model's order, not in that of the export
        for dim, carried in enumerate(walk.parameters.get(name, ()))
        if carried is not None
    ]
    slots = [Slot(place.labels, place.worth) for place in places]
    settle_grids(walk.labels, slots)
    classes = walk.labels.classes()
    families = _families(walk, places, slots, classes)
    return families, _frozen(walk, places, side_of, classes, families), classes


def _families(walk: Propagation, places: list[_Place], slots: list[Slot], classes: Classes) -> tuple[Family, ...]:
    unit_of = _first_words(
        walk.labels.count, [(classes.root[labels], _UNITS.index(unit)) for labels, unit in walk.units]
    )
    averaged = [(np.unique(classes.root[s.labels]), base_name(s.node)) for s in walk.statistics]
    found: list[tuple[tuple[int, int], list[int], np.ndarray]] = []
    signature = signatures(slots, classes.root)
    produced = [classes.root[place.labels] for place in places if place.side == "produces"]
    roots = np.unique(np.concatenate(produced)) if produced else np.empty(0, np.int64)
    roots = roots[classes.stop[roots] < 0]
    _, group = np.unique(signature[roots], return_inverse=True)
    order = np.argsort(group, kind="stable")
    alike = np.split(roots[order], np.flatnonzero(np.diff(group[order])) + 1) if len(roots) else []
    alike = [units for units in alike if len(units) > 1]  # an only unit cannot be removed
    sorted_places = [_by_root(classes.root[place.labels]) for place in places]
    of_first: dict[int, list[int]] = {int(units[0]): [] for units in alike}
    for slot, (_, sorted_roots) in enumerate(sorted_places):
        for root in np.intersect1d(sorted_roots, np.fromiter(of_first, np.int64, len(of_first))).tolist():
            of_first[root].append(slot)
    for units in alike:
        of_units = of_first[int(units[0])]
        producing = next(slot for slot in of_units if places[slot].side == "produces")
        first = _positions(sorted_places[producing], units)[:, 0]
        ranked = np.argsort(first, kind="stable")
        found.append(((producing, int(first[ranked[0]])), of_units, units[ranked]))

    families: list[Family] = []
    taken: dict[str, int] = defaultdict(int)
    for _, of_units, units in sorted(found, key=lambda item: item[0]):
        members = tuple(
            Member(places[slot].name, places[slot].dim, _positions(sorted_places[slot], units), places[slot].side)
            for slot in of_units
        )
        layers = tuple(dict.fromkeys(layer_of(member.name) for member in members if member.side == "produces"))
        taken[layers[0]] += 1
        several = next(m for m in members if m.side == "produces").index.shape[1] > 1
        word = int(unit_of[units[0]])
        families.append(
            Family(
                name=layers[0] if taken[layers[0]] == 1 else f"{layers[0]}#{taken[layers[0]]}",
                size=len(units),
                members=members,
                layers=layers,
                unit=_UNITS[word] if word < len(_UNITS) else "group" if several else "channel",
                averaged=tuple(dict.fromkeys(name for labels, name in averaged if np.isin(units, labels).any())),
                roots=units,
            )
        )
    return tuple(families)


def _by_root(roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(roots, kind="stable")
    return order, roots[order]


def _positions(place: tuple[np.ndarray, np.ndarray], units: np.ndarray) -> np.ndarray:
    """units x k: the positions of each unit in one dimension, where all have k."""
    order, roots = place
    start, end = np.searchsorted(roots, units, "left"), np.searchsorted(roots, units, "right")
    return order[start[:, None] + np.arange(end[0] - start[0])]


def _first_words(count: int, said: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """What was said first of every label; a number too large for a word where nothing was."""
    words = np.full(count, 99, np.int8)
    for labels, word in reversed(said):
        words[labels] = word
    return words


def _side(side_of: np.ndarray, carried: Channels) -> Side:
    word = int(side_of[carried.labels[0]])
    return _SIDES[word] if word < len(_SIDES) else "follows"


def _worth(shape: tuple[int, ...], dim: int) -> float:
    """Weights that go with one position."""
    return float(np.prod(shape)) / shape[dim]


def _frozen(
    walk: Propagation, places: list[_Place], side_of: np.ndarray, classes: Classes, families: tuple[Family, ...]
) -> tuple[Frozen, ...]:
    removable: dict[tuple[str, int], int] = defaultdict(int)
    for family in families:
        for member in family.members:
            removable[member.name, member.dim] += member.index.size
    touched_names = {name for name, _ in removable}
    touched_names |= set(walk.captured.program.graph_signature.buffers)  # tables of positions and masks are no layers
    frozen: dict[str, Frozen] = {}
    for place in places:
        # Nothing comes off a matrix: it is listed though it produces nothing, as a depthwise convolution, or though an
        # unknown operator reads it, of which nobody knows what it does.
        whole = place.name not in touched_names and len(walk.captured.shapes[place.name]) > 1
        kept = len(place.labels) - removable[place.name, place.dim]
        if kept == 0 or not (whole or place.side == "produces"):
            continue
        touched = classes.stop[place.labels]
        stop = classes.stops[touched[touched >= 0].min()] if (touched >= 0).any() else None
        share = "" if kept == len(place.labels) else f"{kept} of {len(place.labels)} channels: "
        reason = stop.reason if stop else "is a single unit, which cannot be removed"
        layer = layer_of(place.name)
        frozen.setdefault(
            layer,
            Frozen(layer, share + reason, stop.operator if stop else None, stop.line if stop else ""),
        )
    return tuple(frozen.values())
