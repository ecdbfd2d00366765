"""Probabilistic bisection: the median of where the crossing is believed to lie, when no answer is beyond doubt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.search.bisection import answers
from condensa_core.search.coordinates import Floats
from condensa_core.search.frames import one_knob_frame
from condensa_core.search.normal import cdf
from condensa_core.search.pool import Pool
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.sections import sections
from condensa_core.search.space import Point
from condensa_core.search.strategy import Told

_MOST_CERTAIN = 0.99  # a metric may dip, and its noise be larger than stated: no answer is believed altogether
_CREDIBLE = 0.98  # of the crossing; what lies outside is settled


@dataclass(frozen=True)
class CrossingDensity:
    """A piecewise constant density of the crossing on 0..high: k + 1 ascending `walls`, and the k `masses` between."""

    walls: Floats
    masses: Floats

    @classmethod
    def of(cls, high: float, places: Floats, beyond: Floats) -> CrossingDensity:
        """The posterior from a uniform prior on 0..high after n answers.

        `beyond` are the probabilities (n), given each answer alone, that the crossing lies beyond its place. The
        density right of a place is multiplied by that probability and left of it by the rest, which does not depend on
        the order of answers. Source: Waeber, Frazier and Henderson, "Bisection search with noisy responses", SIAM J.
        Control and Optimization 51 (2013), equations 2 and 3.
        """
        walls = np.unique(np.concatenate([[0.0, high], places[(places > 0) & (places < high)]]))
        middles = (walls[:-1] + walls[1:]) / 2
        factors = np.where(middles[:, None] > places, beyond, 1 - beyond)  # k x n
        masses = np.diff(walls) * np.exp(np.log(factors).sum(1))
        return cls(walls, masses / masses.sum())

    def below(self, places: Iterable[float]) -> list[float]:
        """P(crossing < place) for each place."""
        heaped = np.concatenate([[0.0], np.cumsum(self.masses)])
        return [float(x) for x in np.interp(list(places), self.walls, heaped)]

    def quantiles(self, shares: Iterable[float]) -> list[float]:
        """The places below which the crossing lies with these probabilities."""
        heaped = np.concatenate([[0.0], np.cumsum(self.masses)])
        return [float(x) for x in np.interp(list(shares), heaped, self.walls)]


class ProbabilisticBisection:
    """Tries the candidate nearest to the posterior median of the crossing; several at a time its quantiles.

    One knob only. An answer is right with probability `confidence`, in (0.5, 1); None takes P(right) of its own
    margin and noise, at most 0.99, so that a clear answer moves the median as bisection would and a narrow one hardly
    (Rodriguez and Ludkovski, "Generalized probabilistic bisection for stochastic root finding", ACM TOMACS 2020). It
    is over when, with probability 0.98, the strongest candidate before the crossing was tried.
    """

    def __init__(self, problem: LevelProblem, *, coordinates: str = "scaled", confidence: float | None = None) -> None:
        if confidence is not None and not 0.5 < confidence < 1:
            raise UsageError(f"the confidence in an answer must lie between 0.5 and 1, got {confidence}")
        self._frame = one_knob_frame("probabilistic-bisection", problem, coordinates)
        self._pool = Pool.of(self._frame)
        self._confidence = confidence

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        left = self._pool.left(told)
        if len(left) == 0:
            return ()
        density = self._density(told)
        pending = density.below(self._frame.inputs(told.pending)[:, 0])
        return self._pool.nearest(left, density.quantiles(sections(0.0, 1.0, pending, count)))

    def finished(self, told: Told) -> str | None:
        if not self._pool.points:
            return nothing_better(self._frame.problem)
        if told.pending:
            return None
        low, high = self._density(told).quantiles([(1 - _CREDIBLE) / 2, (1 + _CREDIBLE) / 2])
        places = self._pool.places
        # a crossing anywhere between two neighbouring candidates gives the same answer: the milder of them
        within = (places < high) & (np.append(places[1:], np.inf) > low)
        if within[self._pool.left(told)].any():
            return None
        return f"the strongest setting that holds was tried with probability {_CREDIBLE:g}"

    def _density(self, told: Told) -> CrossingDensity:
        places, met = answers(self._frame, told)
        right = self._probability_right(told)
        return CrossingDensity.of(float(self._pool.places[-1]), places, np.where(met, right, 1 - right))

    def _probability_right(self, told: Told) -> Floats:
        """P(the noise-free metric is on the side that was read) of each successful trial."""
        if self._confidence is not None:
            return np.full(len(told.succeeded), self._confidence)
        problem = self._frame.problem
        known = [(abs(problem.margin(o.metric)), problem.sd(o)) for o in told.succeeded if o.metric is not None]
        scores = np.array([np.inf if sd == 0 else margin / sd for margin, sd in known])
        return np.minimum(cdf(scores), _MOST_CERTAIN)
