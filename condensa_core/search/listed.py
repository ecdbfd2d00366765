"""A search whose trials are listed before the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import Record
from condensa_core.search.return_rule import Recommendation, nothing_better, recommend, surrogate_of
from condensa_core.search.space import Point, point_key


class ListedSearch:
    """Asks for the listed records in order, leaving out those it was already told."""

    def __init__(self, problem: LevelProblem, *, budget: int, listed: Sequence[Record]) -> None:
        if budget < 1:
            raise UsageError(f"a search needs a budget of at least 1 trial, got {budget}")
        self.problem = problem
        self.budget = budget
        self._points = [{problem.knob.name: record.value} for record in listed]
        self._observations: list[Observation] = []

    @property
    def observations(self) -> Sequence[Observation]:
        return tuple(self._observations)

    def ask(self) -> Point | None:
        tried = {point_key(o.point) for o in self._observations}
        open_points = [point for point in self._points if point_key(point) not in tried]
        return open_points[0] if open_points and len(self._observations) < self.budget else None

    def stopped(self) -> str | None:
        if not self._points:
            return nothing_better(self.problem)
        return "every listed setting was tried" if self.ask() is None else None

    def tell(self, observation: Observation) -> None:
        self._observations.append(observation)

    def recommend(self) -> Recommendation:
        # the seed matters only if the fit of the surrogate has to be repeated; one for all keeps rules comparable
        return recommend(self.problem, self._observations, surrogate_of(self.problem, self._observations, Seed()))
