"""The strategies by the names that recipes use."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search.grid_search import GridSearch
from condensa_core.search.level_set import LevelSetSearch
from condensa_core.search.problem import LevelProblem
from condensa_core.search.random_search import RandomSearch
from condensa_core.search.strategy import Strategy

_Maker = Callable[[LevelProblem, int, Seed, str, float], Strategy]

_MAKERS: Final[dict[str, _Maker]] = {
    "level-set": lambda problem, trials, seed, acquisition, gamma: LevelSetSearch(
        problem, seed=seed, acquisition=acquisition, gamma=gamma
    ),
    "grid": lambda problem, trials, seed, acquisition, gamma: GridSearch(problem, count=trials),
    "random": lambda problem, trials, seed, acquisition, gamma: RandomSearch(problem, seed=seed),
}
METHODS: Final = tuple(_MAKERS)


def strategy_named(
    method: str,
    problem: LevelProblem,
    *,
    seed: Seed,
    trials: int = 10,
    acquisition: str | None = None,
    gamma: float | None = None,
) -> Strategy:
    """A fresh strategy; acquisition and gamma steer the level-set search and take its defaults when None.

    `trials` is what a strategy that lists its points beforehand divides the knob into. Raises UsageError for a method
    or acquisition that this version does not have.
    """
    if method not in _MAKERS:
        near = difflib.get_close_matches(method, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(METHODS)
        raise UsageError(f"search method {method!r} is not available in this version", hint=hint)
    return _MAKERS[method](problem, trials, seed, acquisition or "ils-ucb", 0.8 if gamma is None else gamma)
