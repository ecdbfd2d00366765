"""Problems whose answer is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from condensa_core.search import (
    Knob,
    LevelProblem,
    LevelSetSearch,
    ObjectiveProfile,
    Recommendation,
    Search,
    Space,
    Strategy,
)

DENSE, CHANCE = 0.93, 0.10


@dataclass(frozen=True)
class Cliff:
    """Accuracy that falls from dense to chance along a logistic in t = -ln(1 - s), with its knee at sparsity `knee`."""

    knee: float
    steepness: float = 12.0

    def __call__(self, sparsity: float) -> float:
        t, middle = -math.log1p(-sparsity), -math.log1p(-self.knee)
        lost = 1 / (1 + math.exp(-self.steepness * (t - middle))) - 1 / (1 + math.exp(self.steepness * middle))
        return DENSE - (DENSE - CHANCE) * lost

    def crossing(self, level: float) -> float:
        """The sparsity where the accuracy is `level`, by bisection."""
        low, high = 0.0, 0.9999
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self(middle) >= level else (low, middle)
        return low


@dataclass
class Played:
    """A finished search with everything it tried."""

    search: Search
    recommendation: Recommendation

    @property
    def tried(self) -> list[float]:
        return [next(iter(o.point.values())) for o in self.search.observations]


def problem_of(
    knob: Knob | None = None, drop: float = 0.01, count: int = 200, better: str = "higher", **settings
) -> LevelProblem:
    """A sparsity problem whose throughput is 1 / (0.9 (1 - s) + 0.1), noise of the metric 0.05 points."""
    knob = knob or Knob("s", range=(0.0, 0.97))
    throughputs = [(s, 1 / (0.9 * (1 - s) + 0.1)) for s in knob.grid(count)]
    profile = ObjectiveProfile.measured(knob, throughputs, 1.0, name="throughput")
    level = DENSE - drop if better == "higher" else drop - DENSE
    reference = DENSE if better == "higher" else -DENSE
    return LevelProblem(Space((knob,)), profile, level, reference, better, **{"noise_sd": 5e-4, **settings})


def play(problem: LevelProblem, strategy: Strategy, metric: Callable[[float], float], budget: int = 8) -> Played:
    """Ask and tell, one point at a time, until the search is over."""
    search = Search(problem, strategy, budget=budget)
    while points := search.ask():
        search.tell(points[0], metric(next(iter(points[0].values()))))
    return Played(search, search.recommend())


@pytest.fixture
def cliff():
    return Cliff


@pytest.fixture
def problem():
    return problem_of


@pytest.fixture
def search():
    """Play a level-set search on a metric to its end."""

    def run(problem: LevelProblem, metric: Callable[[float], float], budget: int = 8, **settings) -> Played:
        return play(problem, LevelSetSearch(problem, **settings), metric, budget)

    return run


@pytest.fixture
def playing():
    return play
