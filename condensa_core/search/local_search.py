"""The best rows of a mixed space by a score that has no gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from condensa_core.search.coordinates import Floats
from condensa_core.search.mixed import UnitLattice

_STEPS = (0.1, 0.06, 0.03, 0.015, 0.008)  # sd of a move per round, in unit coordinates; the last is below noise
_ELITE, _AROUND = 8, 32  # rows whose neighbourhood a round looks at, and neighbours of each
_KEPT = 256
_DRAWN = 512


def best_rows(
    lattice: UnitLattice, score: Callable[[Floats], Floats], starts: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Up to 512 rows with a finite score, best first, and their scores.

    `score` takes n x d and gives n, -inf for what must not be chosen. Looks at `starts`, random rows and neighbours of
    the last 8 starts, then five times at neighbours of the best so far, nearer each time. A known objective times a
    probability is flat or stepped in many places, where gradients are of no use, and cheap: some 2500 rows are looked
    at.
    """
    nearby = [lattice.neighbours(starts[-_ELITE:], step, _AROUND, rng) for step in (_STEPS[0], _STEPS[2])]
    rows = np.vstack([lattice.snapped(starts), lattice.drawn(_DRAWN, rng), *nearby])
    scores = score(rows)
    for step in _STEPS:
        order = np.argsort(-scores, kind="stable")[:_KEPT]
        around = lattice.neighbours(rows[order[:_ELITE]], step, _AROUND, rng)
        rows, scores = np.vstack([rows[order], around]), np.concatenate([scores[order], score(around)])
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    return rows[order], scores[order]
