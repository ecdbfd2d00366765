"""Trials at records drawn without replacement."""

from __future__ import annotations

from condensa_core.randomness import Seed
from condensa_core.search.listed import Listed
from condensa_core.search.problem import LevelProblem


class RandomSearch(Listed):
    """Tries the records of the objective profile in an order drawn from the seed; for comparison."""

    def __init__(self, problem: LevelProblem, *, seed: Seed) -> None:
        records = problem.records
        order = seed.numpy_generator("random-search").permutation(len(records))
        super().__init__(problem, tuple(records[i] for i in order))
