"""Trials at records drawn without replacement."""

from __future__ import annotations

from condensa_core.randomness import Seed
from condensa_core.search.listed import ListedSearch
from condensa_core.search.problem import LevelProblem


class RandomSearch(ListedSearch):
    """Tries `budget` records of the objective profile in an order drawn from the seed; for comparison."""

    def __init__(self, problem: LevelProblem, *, budget: int, seed: Seed) -> None:
        records = problem.profile.records()
        order = seed.numpy_generator("random-search").permutation(len(records))
        super().__init__(problem, budget=budget, listed=tuple(records[i] for i in order[:budget]))
