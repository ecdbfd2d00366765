"""One strength for all knobs: the curve through the space along which the objective costs the least damage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from condensa_core.search.coordinates import Floats
from condensa_core.search.known_objective import log_gains
from condensa_core.search.mixed import UnitLattice
from condensa_core.search.objectives import Objectives
from condensa_core.search.space import Space

_STEPS = 240  # along the whole curve: about 1 % of the objective each, as fine as training noise lets anyone tell
_AHEAD = (1, 3, 9, 27, 81)  # levels a knob may rise at once, or no staircase of the objective could be climbed
_LEAST_DAMAGE = 1e-9
_MOST_PATHS = 64  # of combinations of choices; more are walked like any other levels


@dataclass(frozen=True)
class AllocationCurve:
    """k points from mild to strong: `units` is k x d, `gains` their log gain over the reference, strictly increasing.

    The strength of a point is its log gain over that of the last one, 0 (the reference) to 1. Empty when no point
    beats the reference.
    """

    units: Floats
    gains: Floats

    @property
    def strengths(self) -> Floats:
        """Per point, in (0, 1]."""
        return self.gains / self.gains[-1] if len(self.gains) else self.gains

    def at(self, strength: float) -> Floats:
        """The unit coordinates of the mildest point at least this strong: d."""
        return self.units[min(int(np.searchsorted(self.strengths, strength)), len(self.units) - 1)]


def allocation_curve(space: Space, objectives: Objectives, damage: Callable[[Floats], Floats]) -> AllocationCurve:
    """The curve that minimises `damage` (n x d -> n, a sum over knobs) for every value of the objective.

    At its points every knob's marginal damage per marginal log gain is equal (the Lagrangian condition), up to steps.
    For each combination of choices a path is built from the mild end of the other knobs; the curve is what no point of
    any path beats in both gain and damage. For separable convex damages this is the exact optimum over the levels;
    elsewhere it is a good curve and no more is claimed.
    """
    lattice = UnitLattice.of(space)
    levels = [_levels(lattice, column) for column in range(len(space.knobs))]
    fixed = [column for column, knob in enumerate(space.knobs) if knob.choices is not None]
    if math.prod(len(levels[column]) for column in fixed) > _MOST_PATHS:
        fixed = []
    paths = []
    for values in itertools.product(*(levels[column] for column in fixed)):
        pinned = dict(zip(fixed, values, strict=True))
        own = [np.array([pinned[i]]) if i in pinned else column for i, column in enumerate(levels)]
        paths.append(_path(own, objectives, damage))
    rows = np.vstack(paths)
    gains = np.nan_to_num(log_gains(objectives, rows), nan=-np.inf)
    order = np.lexsort((-gains, damage(rows)))  # from little damage to much, of equal ones the better first
    return _records(rows[order], gains[order], objectives)


def _path(levels: Sequence[Floats], objectives: Objectives, damage: Callable[[Floats], Floats]) -> Floats:
    """From every knob's first level, the move of one knob that gains most per damage, until none gains: k x d.

    A move takes one or several levels at once.
    Source: Fox, "Discrete optimization via marginal analysis", Management Science 13, 1966.
    """
    position = [0] * len(levels)
    rows = [np.array([column[0] for column in levels])]
    while True:
        moves = [
            (knob, position[knob] + ahead)
            for knob, column in enumerate(levels)
            for ahead in _AHEAD
            if position[knob] + ahead < len(column)
        ]
        candidates = np.repeat(rows[-1][None], len(moves) + 1, axis=0)  # the last stays where it is
        for n, (knob, to) in enumerate(moves):
            candidates[n, knob] = levels[knob][to]
        gains, damages = log_gains(objectives, candidates), damage(candidates)
        gained, price = gains[:-1] - gains[-1], np.maximum(damages[:-1] - damages[-1], _LEAST_DAMAGE)
        worth = np.where(np.nan_to_num(gained, nan=-np.inf) > 0, gained / price, -np.inf)
        if not len(moves) or not np.isfinite(worth.max()):
            return np.array(rows)
        best = int(np.argmax(worth))
        position[moves[best][0]] = moves[best][1]
        rows.append(candidates[best])


def uniform_curve(space: Space, objectives: Objectives) -> AllocationCurve:
    """The curve on which all knobs have the same unit coordinate, as far as their values allow."""
    lattice = UnitLattice.of(space)
    units = np.linspace(0.0, 1.0, _STEPS + 1)[:, None].repeat(len(space.knobs), axis=1)
    rows = np.unique(lattice.snapped(units), axis=0)  # each column ascends, so the order is kept
    return _records(rows, log_gains(objectives, rows), objectives)


def _levels(lattice: UnitLattice, column: int) -> Floats:
    levels = lattice.levels[column]
    count = max(_STEPS // len(lattice.levels), 20)
    if levels is None:
        return np.linspace(lattice.mildest[column], 1.0, count)
    if len(levels) <= count:
        return levels
    return levels[np.unique(np.linspace(0, len(levels) - 1, count).round().astype(int))]


def _records(rows: Floats, gains: Floats, objectives: Objectives) -> AllocationCurve:
    """The points that beat the reference and every milder one by more than the objective's noise."""
    best, kept = 0.0, []
    for index, gain in enumerate(gains):
        if np.isfinite(gain) and gain > best + np.log1p(objectives.margin) + 1e-12:
            best = float(gain)
            kept.append(index)
    return AllocationCurve(rows[kept], gains[kept])
