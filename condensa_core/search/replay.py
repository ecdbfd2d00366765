"""What plain bisection would have done on the answers of a finished search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from condensa_core.search.bisection import Bisection
from condensa_core.search.observation import Observation
from condensa_core.search.one_knob_belief import one_knob_belief
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import Recommendation, recommend
from condensa_core.search.search import Search
from condensa_core.search.space import Point, point_key

_WITHIN: Final = 0.01  # of the objective that was shipped: as good as reached
_MOST: Final = 24  # trainings of a replay: a bracket halved so often is empty


@dataclass(frozen=True)
class Replay:
    """Trainings counted from 1, failed ones included; objectives as multiples of the reference's, larger = better.

    `reached_after` is the training from which on what would be shipped stays within 1 % of what the search shipped
    (None: it never does), `ships` what would be shipped after as many trainings as the search made, `trainings` when
    it ends by itself, and `believed` how many of the answers up to the search's own count no training gave.
    """

    reached_after: int | None
    ships: float
    trainings: int
    believed: int


def shipped_factor(problem: LevelProblem, answer: Recommendation) -> float:
    """The objective of what is shipped as a multiple of the reference's, which is shipped where nothing else can be."""
    if not answer.feasible or answer.observation is None:
        return 1.0
    objective = problem.objective(answer.observation)
    assert objective is not None  # nothing without one is feasible
    return 1 + problem.profile.gain(objective, problem.profile.reference)


def reached_after(factors: Sequence[float], wanted: float) -> int | None:
    """From which training on the shipped objective stays within 1 % of `wanted`, or above it; None: never."""
    missing = [n for n, factor in enumerate(factors, 1) if factor < (1 - _WITHIN) * wanted]
    last = missing[-1] if missing else 0
    return last + 1 if last < len(factors) else None


def shipped_factors(problem: LevelProblem, observations: Sequence[Observation]) -> list[float]:
    """What the return rule would have shipped after each of the observations."""
    return [shipped_factor(problem, recommend(problem, observations[:n])) for n in range(1, len(observations) + 1)]


def bisection_replay(
    problem: LevelProblem, observations: Sequence[Observation], *, coordinates: str = "scaled"
) -> Replay | None:
    """Bisection of one knob in these coordinates, under the same return rule; None where the search shipped nothing.

    A setting that was trained answers as it did; any other with the median of the posterior given all observations,
    without noise, which is kind to bisection. The answers' standard deviation is the median one of the trials.
    """
    wanted = shipped_factor(problem, recommend(problem, observations))
    if wanted <= 1:
        return None
    answers = _Answers(problem, observations)
    search = Search(problem, Bisection(problem, coordinates=coordinates), budget=_MOST)
    while points := search.ask():
        search.tell_observation(answers.at(points[0]))
    played = search.observations
    if not played:
        return None
    factors = shipped_factors(problem, played)
    spent = min(len(observations), len(played))
    believed = sum(point_key(o.point) not in answers.known for o in played[:spent])
    return Replay(reached_after(factors, wanted), factors[spent - 1], len(played), believed)


class _Answers:
    """The measured metric where a value was trained, the posterior median elsewhere."""

    def __init__(self, problem: LevelProblem, observations: Sequence[Observation]) -> None:
        self._problem = problem
        self._belief = one_knob_belief(problem, observations)
        self.known = {point_key(o.point): o for o in observations}
        self._sd = float(np.median([problem.sd(o) for o in observations if o.metric is not None]))

    def at(self, point: Point) -> Observation:
        if point_key(point) in self.known:
            return self.known[point_key(point)]
        problem = self._problem
        median, _ = self._belief.margins(np.array([problem.units(point)]))
        margin = problem.drop * float(np.sinh(median[0]))
        metric = problem.level + (margin if problem.better == "higher" else -margin)
        return Observation(point, "ok", metric, self._sd)
