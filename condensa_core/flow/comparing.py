"""A finished search beside what plain bisection would have done on the same answers."""

from __future__ import annotations

from dataclasses import asdict, replace

from condensa_core.flow.sparing import sparing
from condensa_core.progress import Listener
from condensa_core.report import BisectionResult, SearchResult
from condensa_core.search import (
    AskTell,
    Bisection,
    LevelProblem,
    Observation,
    Search,
    bisection_replay,
    reached_after,
    shipped_factors,
)


def beside_bisection(result: SearchResult, search: AskTell, listener: Listener) -> SearchResult:
    """`result` with the comparison; as it is where there is nothing to compare: no knob or several, nothing shipped,
    or bisection itself."""
    if not isinstance(search, Search) or isinstance(search.strategy, Bisection):
        return result
    if len(search.problem.space.knobs) > 1 or all(o.metric is None for o in search.observations):
        return result
    with sparing("the search could not be compared with bisection", listener):
        return _compared(result, search.problem, search.observations)
    return result


def _compared(result: SearchResult, problem: LevelProblem, observations: tuple[Observation, ...]) -> SearchResult:
    factors = shipped_factors(problem, observations)
    scaled, raw = (bisection_replay(problem, observations, coordinates=name) for name in ("scaled", "raw"))
    return replace(
        result,
        trainings=len(observations),
        reached_after=reached_after(factors, factors[-1]),
        ships=factors[-1],
        bisection=None if scaled is None else BisectionResult(**asdict(scaled)),
        bisection_raw=None if raw is None else BisectionResult(**asdict(raw)),
    )
