"""Which side of a grid its channels go along: heads or head width, groups or places within a group.

A view that splits a dimension in two lets channels go by rows or by columns, not by both. Often one side is forced
(scores contract the width of heads, a softmax normalises it); where several are left, the side is taken that makes
most weights removable, in as many units as possible. All views of one attention are decided together, in one cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from condensa_core.graph.labels import Labels, connected_components


@dataclass(frozen=True, eq=False)
class Slot:
    """One dimension of a parameter: its labels, and how many weights go with each."""

    labels: np.ndarray
    worth: float


def signatures(slots: Sequence[Slot], root: np.ndarray) -> np.ndarray:
    """A number for every class (at its root) that is equal for classes with equally many labels in the same slots."""
    marks = np.random.default_rng(0).integers(1, 2**63, len(slots), dtype=np.uint64)
    sums = np.zeros(len(root), np.uint64)
    for slot, mark in zip(slots, marks, strict=True):
        np.add.at(sums, root[slot.labels], mark)  # wraps around: equality is all that counts
    return sums


def settle_grids(labels: Labels, slots: Sequence[Slot]) -> None:
    """Ties the channels of every grid to one of its sides."""
    if not labels.grids:
        return
    classes = labels.classes()
    worth = np.zeros(labels.count)
    for slot in slots:
        np.add.at(worth, classes.root[slot.labels], slot.worth)
    whole = _State(np.arange(labels.count), classes.stop >= 0, worth, signatures(slots, classes.root))
    views = [_View(classes.root[g.flat], tuple(classes.root[a] for a in g.axes), g.places) for g in labels.grids]
    for cluster in _clusters(views, labels.count):
        members = [views[i] for i in cluster]
        ids = np.unique(np.concatenate([part for view in members for part in (view.flat, *view.axes)]))
        local = [
            _View(np.searchsorted(ids, v.flat), tuple(np.searchsorted(ids, a) for a in v.axes), v.places)
            for v in members
        ]
        state = _State(np.arange(len(ids)), whole.frozen[ids], whole.worth[ids], whole.signature[ids])
        for i, side in zip(cluster, _decide(local, state), strict=True):
            labels.tie_to_side(labels.grids[i], side)


@dataclass(frozen=True, eq=False)
class _View:
    """A grid, by numbers of classes instead of labels."""

    flat: np.ndarray
    axes: tuple[np.ndarray, ...]
    places: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class _State:
    """What is known of the classes: which became one, and (at its root) whether it must stay and what it is worth."""

    root: np.ndarray
    frozen: np.ndarray
    worth: np.ndarray
    signature: np.ndarray


def _clusters(views: list[_View], count: int) -> list[list[int]]:
    """Grids that share a class, directly or through others."""
    left, right = [], []
    for view in views:
        every = np.concatenate([view.flat, *view.axes])
        left.append(every)
        right.append(np.full(len(every), every[0]))
    root = connected_components(count, np.concatenate(left), np.concatenate(right))
    clusters: dict[int, list[int]] = {}
    for i, view in enumerate(views):
        clusters.setdefault(int(root[view.flat[0]]), []).append(i)
    return list(clusters.values())


def _decide(views: list[_View], state: _State) -> list[int]:
    """A side for each view: the forced ones first, then the best for one view at a time, with all that it forces."""
    sides: list[int | None] = [None] * len(views)
    state = _force(views, sides, state)
    while None in sides:
        undecided = sides.index(None)
        options = []
        for side in range(len(views[undecided].axes)):
            tried = list(sides)
            tried[undecided] = side
            after = _force(views, tried, _settled(state, [(views[undecided], side)]))
            options.append((_removable(after), -side, tried, after))
        _, _, sides, state = max(options, key=lambda option: option[:2])
    return [side for side in sides if side is not None]


def _force(views: list[_View], sides: list[int | None], state: _State) -> _State:
    """Settles every view that has at most one side left along which anything can go; `sides` is filled in."""
    while True:
        forced = []
        for i, view in enumerate(views):
            if sides[i] is None:
                open_sides = [side for side in range(len(view.axes)) if _lets_go(view, side, state)]
                if len(open_sides) <= 1:
                    sides[i] = open_sides[0] if open_sides else 0
                    forced.append((view, sides[i]))
        if not forced:
            return state
        state = _settled(state, forced)  # type: ignore[arg-type]


def _lets_go(view: _View, side: int, state: _State) -> bool:
    """Whether any place of this side is free to be removed."""
    stays = state.frozen[state.root[view.axes[side]]].copy()
    stays[view.places[side][state.frozen[state.root[view.flat]]]] = True
    return not bool(stays.all())


def _settled(state: _State, choices: Sequence[tuple[_View, int]]) -> _State:
    left, right, stay = [], [], []
    for view, side in choices:
        left.append(view.flat)
        right.append(view.axes[side][view.places[side]])
        stay += [axis for other, axis in enumerate(view.axes) if other != side]
    joined = connected_components(len(state.root), state.root[np.concatenate(left)], state.root[np.concatenate(right)])
    frozen = state.frozen.copy()
    for axis in stay:
        frozen[state.root[axis]] = True
    root = joined[state.root]
    gathered = np.zeros_like(frozen)
    np.logical_or.at(gathered, root, frozen[state.root])
    # Only roots of before hold sums; they go to the roots of now.
    before = np.flatnonzero(state.root == np.arange(len(root)))
    worth, signature = np.zeros_like(state.worth), np.zeros_like(state.signature)
    np.add.at(worth, root[before], state.worth[before])
    np.add.at(signature, root[before], state.signature[before])
    return replace(state, root=root, frozen=gathered, worth=worth, signature=signature)


def _removable(state: _State) -> float:
    """Weights that can go, counted by 1 - 1/n in a family of n units: one unit must survive."""
    roots = np.flatnonzero((state.root == np.arange(len(state.root))) & ~state.frozen)
    _, family, sizes = np.unique(state.signature[roots], return_inverse=True, return_counts=True)
    return float((state.worth[roots] * (1 - 1 / sizes[family])).sum())
