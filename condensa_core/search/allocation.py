"""One strength for all knobs: the curve through the space along which the objective costs the least damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from condensa_core.search.coordinates import Floats
from condensa_core.search.known_objective import log_gains
from condensa_core.search.mixed import UnitLattice
from condensa_core.search.objectives import Objectives
from condensa_core.search.space import Space

_STEPS = 240  # along the whole curve: about 1 % of the objective each, as fine as training noise lets anyone tell
_AHEAD = (1, 2, 4, 8, 16, 32)  # levels a knob may rise at once, or no staircase of the objective could be climbed
_LEAST_DAMAGE = 1e-9


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
    Built from the mild end: the move of one knob, over one or several of its levels, that gains most per damage is made
    until none gains. For separable convex damages this is the exact optimum over the levels; elsewhere it is a good
    curve and no more is claimed.
    Source: Fox, "Discrete optimization via marginal analysis", Management Science 13, 1966.
    """
    lattice = UnitLattice.of(space)
    levels = [_levels(lattice, column) for column in range(len(space.knobs))]
    position = np.zeros(len(levels), dtype=int)
    row = np.array([column[0] for column in levels])
    gain, done = float(log_gains(objectives, row[None])[0]), float(damage(row[None])[0])
    rows, gains = [row], [gain]
    while True:
        moves = [
            (i, int(position[i]) + step)
            for i, column in enumerate(levels)
            for step in _AHEAD
            if position[i] + step < len(column)
        ]
        if not moves:
            break
        candidates = np.repeat(row[None], len(moves), axis=0)
        for n, (knob, to) in enumerate(moves):
            candidates[n, knob] = levels[knob][to]
        gained = np.nan_to_num(log_gains(objectives, candidates), nan=-np.inf) - gain
        price = np.maximum(damage(candidates) - done, _LEAST_DAMAGE)
        worth = np.where(gained > 0, gained / price, -np.inf)
        best = int(np.argmax(worth))
        if not np.isfinite(worth[best]):
            break
        position[moves[best][0]] = moves[best][1]
        row, gain, done = candidates[best], gain + float(gained[best]), float(damage(candidates[best][None])[0])
        rows.append(row)
        gains.append(gain)
    return _records(np.array(rows), np.array(gains), objectives)


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
