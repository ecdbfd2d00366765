"""Solved ties become units, units become families; what cannot be removed is listed with its reason."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from condensa_core.graph.channels import Family, Frozen, Member, Side
from condensa_core.graph.labels import Classes
from condensa_core.graph.propagation import Propagation

_SIDES: tuple[Side, ...] = ("produces", "follows", "consumes")


def layer_of(tensor: str) -> str:
    """The module that owns a parameter; a parameter of the model itself is its own layer."""
    return tensor.rpartition(".")[0] or tensor


def families_of(walk: Propagation) -> tuple[tuple[Family, ...], tuple[Frozen, ...]]:
    """All families in order of their first producing layer, and what is frozen, in order of the layers."""
    slots = [
        (name, dim, labels)
        for name in walk.captured.shapes  # in the model's order, not in that of the export
        for dim, labels in enumerate(walk.parameters.get(name, ()))
        if labels is not None
    ]
    classes = walk.labels.classes()
    sides = [walk.sides.get(int(labels[0]), "follows") for _, _, labels in slots]
    units: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)  # root -> (slot, positions), by slot
    for slot, (_, _, labels) in enumerate(slots):
        root = classes.root[labels]
        order = np.argsort(root, kind="stable")
        starts = np.flatnonzero(np.diff(root[order], prepend=-1))
        for positions in np.split(order, starts[1:]):
            if classes.stop[labels[positions[0]]] < 0:
                units[int(root[positions[0]])].append((slot, positions))

    alike: dict[tuple[tuple[int, int], ...], list[list[np.ndarray]]] = defaultdict(list)
    for parts in units.values():
        signature = tuple((slot, len(positions)) for slot, positions in parts)
        if any(sides[slot] == "produces" for slot, _ in signature):
            alike[signature].append([positions for _, positions in parts])

    families: list[Family] = []
    taken: dict[str, int] = defaultdict(int)
    for signature, members in alike.items():
        if len(members) < 2:
            continue  # its only unit cannot be removed
        part_of = [slot for slot, _ in signature]
        producing = next(i for i, slot in enumerate(part_of) if sides[slot] == "produces")
        members.sort(key=lambda positions: int(positions[producing][0]))
        layers = dict.fromkeys(layer_of(slots[slot][0]) for slot in part_of if sides[slot] == "produces")
        first = next(iter(layers))
        taken[first] += 1
        families.append(
            Family(
                name=first if taken[first] == 1 else f"{first}#{taken[first]}",
                size=len(members),
                members=tuple(
                    Member(slots[slot][0], slots[slot][1], np.stack([unit[i] for unit in members]), sides[slot])
                    for i, slot in enumerate(part_of)
                ),
                layers=tuple(layers),
            )
        )
    return tuple(families), _frozen(walk, classes, families)


def _frozen(walk: Propagation, classes: Classes, families: list[Family]) -> tuple[Frozen, ...]:
    removable: dict[tuple[str, int], int] = defaultdict(int)
    for family in families:
        for member in family.members:
            removable[member.name, member.dim] += member.index.size
    frozen: dict[str, Frozen] = {}
    for name in walk.captured.shapes:
        dims = walk.parameters.get(name, ())
        sides = [None if labels is None else walk.sides.get(int(labels[0])) for labels in dims]
        # A matrix that only an unknown operator reads was never said to do anything: it is listed as well.
        unread = len(dims) > 1 and not any(sides)
        for axis, labels in enumerate(dims):
            if labels is None or not (unread or sides[axis] == "produces"):
                continue
            kept = len(labels) - removable[name, axis]
            if kept == 0:
                continue
            touched = classes.stop[labels]
            stop = classes.stops[touched[touched >= 0].min()] if (touched >= 0).any() else None
            share = "" if kept == len(labels) else f"{kept} of {len(labels)} channels: "
            reason = stop.reason if stop else "is a single unit, which cannot be removed"
            frozen.setdefault(layer_of(name), Frozen(layer_of(name), share + reason, stop.operator if stop else None))
    return tuple(frozen.values())
