"""A strategy whose trials are listed before the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import Record
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.space import Point
from condensa_core.search.strategy import Told


class Listed:
    """Proposes the listed records in order, leaving out those that are told or pending."""

    def __init__(self, problem: LevelProblem, listed: Sequence[Record]) -> None:
        self.problem = problem
        self._points: list[Point] = [{problem.knob.name: record.value} for record in listed]

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        return tuple(told.untaken(self._points)[:count])

    def finished(self, told: Told) -> str | None:
        if not self._points:
            return nothing_better(self.problem)
        return "every listed setting was tried" if not told.pending and not told.untaken(self._points) else None
