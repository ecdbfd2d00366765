"""The level-set search: where does the metric meet its bound, asked only at settings whose objective is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search.bracket import Bracket, bracket_of
from condensa_core.search.judgement import Judged, incumbent, judge
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import Record
from condensa_core.search.return_rule import Recommendation, nothing_better, recommend, surrogate_of
from condensa_core.search.space import Point, point_key

if TYPE_CHECKING:
    from condensa_core.search.surrogate import Surrogate

ACQUISITIONS = ("ils-ucb", "bisection")
_LEAST_GAIN = 0.01  # a trial that could improve the objective by less is not worth a training run
_BISECTIONS = 2  # a GP of the reference and one point knows neither length-scale nor slope


@dataclass(frozen=True)
class SearchState:
    """Where a level-set search stands: what it was told, what is still open, and why it is over (None: it is not)."""

    observations: tuple[Observation, ...]
    bracket: Bracket
    candidates: tuple[Record, ...]
    stopped: str | None


class LevelSetSearch:
    """Narrows the bracket around the level among the records of the objective profile.

    The first two trials bisect the bracket in the unit coordinate; later ones maximise ILS-UCB of the surrogate over
    the records inside the bracket (acquisition "bisection": all bisect). It is over when the bracket holds no untried
    record, when the best record left would gain less than 1 % over the best confident trial, or after `budget` trials,
    failed ones included.
    """

    def __init__(
        self,
        problem: LevelProblem,
        *,
        budget: int,
        seed: Seed,
        acquisition: str = "ils-ucb",
        gamma: float = 0.8,
    ) -> None:
        if budget < 1:
            raise UsageError(f"a search needs a budget of at least 1 trial, got {budget}")
        if acquisition not in ACQUISITIONS:
            known = ", ".join(ACQUISITIONS)
            raise UsageError(
                f"acquisition {acquisition!r} is not available in this version", hint=f"use one of {known}"
            )
        if not 0 <= gamma <= 1:
            raise UsageError(f"gamma must lie in 0..1, got {gamma}")
        self.problem = problem
        self.budget = budget
        self.acquisition = acquisition
        self.gamma = gamma
        self._seed = seed
        self._records = problem.profile.records()
        self._observations: list[Observation] = []
        self._fitted: tuple[int, Surrogate | None] | None = None

    @property
    def observations(self) -> Sequence[Observation]:
        return tuple(self._observations)

    @property
    def state(self) -> SearchState:
        bracket = bracket_of(self._judged())
        return SearchState(tuple(self._observations), bracket, self._candidates(), self.stopped())

    def ask(self) -> Point | None:
        if self.stopped() is not None:
            return None
        candidates = self._candidates()
        trained = sum(o.metric is not None for o in self._observations)
        if trained < _BISECTIONS or self.acquisition == "bisection":
            chosen = self._middle_of(candidates)
        else:
            chosen = self._most_telling_of(candidates)
        return {self.problem.knob.name: chosen.value}

    def stopped(self) -> str | None:
        if not self._records:
            return nothing_better(self.problem)
        if len(self._observations) >= self.budget:
            return f"the budget of {self.budget} trials is spent"
        candidates = self._candidates()
        if not candidates:
            return "no untried setting is left between what holds and what fails"
        best = incumbent(self._judged())
        safe = 0.0 if best is None else best.gain
        gains = [self.problem.profile.gain(c.objective, self.problem.profile.reference) for c in candidates]
        if (1 + max(gains)) / (1 + safe) - 1 < _LEAST_GAIN:
            return f"the settings left would gain less than {_LEAST_GAIN:.0%}"
        return None

    def tell(self, observation: Observation) -> None:
        self._observations.append(observation)

    def recommend(self) -> Recommendation:
        return recommend(self.problem, self._observations, self._surrogate())

    def _candidates(self) -> tuple[Record, ...]:
        """The records inside the bracket that were not tried, mild to strong."""
        bracket = bracket_of(self._judged())
        tried = {point_key(o.point) for o in self._observations}
        name, unit = self.problem.knob.name, self.problem.knob.unit
        return tuple(
            r for r in self._records if bracket.contains(unit(r.value)) and point_key({name: r.value}) not in tried
        )

    def _middle_of(self, candidates: Sequence[Record]) -> Record:
        """The candidate nearest to the middle of the bracket; equally near: the milder.

        A pass too narrow to be trusted counts as one here, or the next trial would be its neighbour.
        """
        passed = max((j.unit for j in self._judged() if j.margin >= 0), default=0.0)
        fails = bracket_of(self._judged()).fails
        strongest = self.problem.knob.unit(self._records[-1].value)
        middle = (passed + (strongest if fails is None else fails)) / 2
        return min(candidates, key=lambda r: abs(self.problem.knob.unit(r.value) - middle))

    def _most_telling_of(self, candidates: Sequence[Record]) -> Record:
        """The candidate with the highest ILS-UCB score; equal scores: the milder."""
        surrogate = self._surrogate()
        assert surrogate is not None
        scores = surrogate.level_scores([self.problem.knob.unit(r.value) for r in candidates], self.gamma)
        return candidates[max(range(len(candidates)), key=scores.__getitem__)]

    def _judged(self) -> tuple[Judged, ...]:
        return judge(self.problem, self._observations, self._surrogate())

    def _surrogate(self) -> Surrogate | None:
        """The surrogate of what was told so far, fitted once per observation."""
        if self._fitted is None or self._fitted[0] != len(self._observations):
            self._fitted = len(self._observations), surrogate_of(self.problem, self._observations, self._seed)
        return self._fitted[1]
