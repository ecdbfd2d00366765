"""Which trials no other beats in every objective."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from condensa_core.search.coordinates import Floats
from condensa_core.search.judgement import Judged
from condensa_core.search.known_objective import log_gains
from condensa_core.search.problem import LevelProblem


def non_dominated(outcomes: Floats) -> NDArray[np.bool_]:
    """Which of n rows (n x m, more is better) no other row equals or beats everywhere and beats somewhere.

    Of equal rows the first counts.
    """
    as_good = (outcomes[None] >= outcomes[:, None]).all(axis=2)  # i, j: j is as good as i everywhere
    better = as_good & (outcomes[None] > outcomes[:, None]).any(axis=2)
    earlier_twin = as_good & as_good.T & (np.arange(len(outcomes))[None] < np.arange(len(outcomes))[:, None])
    return np.asarray(~(better | earlier_twin).any(axis=1))


def trade_offs(problem: LevelProblem, units: Floats) -> Floats:
    """The log gains of the problem's objectives over the reference at n points: n x d -> n x k; nan where unknown."""
    return np.stack([log_gains(objectives, units) for objectives in (problem.profile, *problem.further)], axis=1)


def pareto_front(problem: LevelProblem, judged: Sequence[Judged]) -> tuple[Judged, ...]:
    """The trials that hold the level and are best compromises, by falling gain of the first objective.

    Between the objectives of the problem; between its only one and the metric where it has no further one. A trial that
    gains nothing in any objective is on no front.
    """
    holding = [j for j in judged if j.holds]
    if not holding:
        return ()
    gains = trade_offs(problem, np.array([j.units for j in holding]))
    gains[:, 0] = np.log1p([j.gain for j in holding])  # as measured on the finished candidate
    metric = np.array([[j.margin] for j in holding])
    worth = np.nan_to_num(gains, nan=-np.inf)
    outcomes = worth if problem.further else np.hstack([worth, metric])
    kept = non_dominated(outcomes) & (worth > 0).any(axis=1)
    return tuple(sorted((j for j, keep in zip(holding, kept, strict=True) if keep), key=lambda j: -j.gain))
