"""Evenly spaced trials over the records of the objective profile."""

from __future__ import annotations

from condensa_core.search.listed import Listed
from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import Record


class GridSearch(Listed):
    """Tries `count` records from mild to strong, evenly spread over their list, the strongest among them.

    For whole curves and for comparison; it learns nothing from what it is told.
    """

    def __init__(self, problem: LevelProblem, *, count: int) -> None:
        super().__init__(problem, _evenly(problem.records, count))


def _evenly(records: tuple[Record, ...], count: int) -> tuple[Record, ...]:
    if count >= len(records):
        return records
    return tuple(records[(i + 1) * len(records) // count - 1] for i in range(count))
