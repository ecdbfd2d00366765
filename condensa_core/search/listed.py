"""Strategies whose trials are listed before the first of them: a grid, random points, a Sobol sequence."""

from __future__ import annotations

from collections.abc import Iterable

from condensa_core.randomness import Seed
from condensa_core.search.candidates import distinct
from condensa_core.search.coordinates import Floats
from condensa_core.search.designs import grid_units, random_units, sobol_units
from condensa_core.search.frames import Frame, frame_named
from condensa_core.search.pool import Pool
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.space import Point
from condensa_core.search.strategy import Told

_DRAWN = 4096  # places drawn for a list: more than any search makes trials, or than one knob has settings


class Listed:
    """Proposes the listed points in order, leaving out those that are told or pending."""

    def __init__(self, problem: LevelProblem, listed: Iterable[Point]) -> None:
        self.problem = problem
        self._points = list(listed)

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        return tuple(told.untaken(self._points)[:count])

    def finished(self, told: Told) -> str | None:
        if not self._points:
            return nothing_better(self.problem)
        return "every listed setting was tried" if not told.pending and not told.untaken(self._points) else None


class GridSearch(Listed):
    """Tries at most `count` candidates evenly spaced in the coordinates, from mild to strong, the strongest included.

    For whole curves and for comparison; it learns nothing from what it is told.
    """

    def __init__(self, problem: LevelProblem, *, count: int, coordinates: str = "scaled") -> None:
        units = grid_units(count, len(problem.space.knobs))
        super().__init__(problem, _candidates_at(frame_named(coordinates, problem), units))


class RandomSearch(Listed):
    """Tries candidates at places drawn from the seed, uniform in the coordinates; for comparison."""

    def __init__(self, problem: LevelProblem, *, seed: Seed, coordinates: str = "scaled") -> None:
        units = random_units(_DRAWN, len(problem.space.knobs), seed)
        super().__init__(problem, _candidates_at(frame_named(coordinates, problem), units))


class SobolSearch(Listed):
    """Tries candidates along a scrambled Sobol sequence, which fills the coordinates evenly; for comparison."""

    def __init__(self, problem: LevelProblem, *, seed: Seed, coordinates: str = "scaled") -> None:
        units = sobol_units(_DRAWN, len(problem.space.knobs), seed)
        super().__init__(problem, _candidates_at(frame_named(coordinates, problem), units))


def _candidates_at(frame: Frame, units: Floats) -> tuple[Point, ...]:
    """The candidate nearest to each place (n x d, a place of one knob as a share of the strongest candidate's).

    Of one knob none twice: the next nearest instead, until all are listed.
    """
    if units.shape[1] > 1:
        return frame.worthwhile(distinct(frame.point(place) for place in units.tolist()))
    pool = Pool.of(frame)
    if not pool.points:
        return ()
    return pool.nearest(range(len(pool.points)), (units[:, 0] * pool.places[-1]).tolist())
