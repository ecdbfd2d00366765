"""Bisection: the middle of what is left between what holds and what fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from condensa_core.search.coordinates import Floats
from condensa_core.search.frames import Frame, one_knob_frame
from condensa_core.search.pool import Pool
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.sections import sections
from condensa_core.search.space import Point
from condensa_core.search.strategy import Told


@dataclass(frozen=True)
class SignBracket:
    """The strongest place that met the level (0: the reference) and the mildest stronger one that missed it, if any."""

    holds: float
    fails: float | None

    @classmethod
    def of(cls, frame: Frame, told: Told) -> SignBracket:
        """The bracket of one knob when every metric is taken at its word.

        A miss milder than what holds is a dip or bad luck, and closes nothing.
        """
        places, met = answers(frame, told)
        holds = float(places[met].max(initial=0.0))
        fails = places[~met & (places > holds)]
        return cls(holds, float(fails.min()) if len(fails) else None)

    def inside(self, places: Floats) -> NDArray[np.bool_]:
        """Which of n places lie strictly between."""
        return (places > self.holds) & (places < (np.inf if self.fails is None else self.fails))

    def middles(self, frame: Frame, pool: Pool, told: Told, count: int) -> list[float]:
        """`count` places that divide the bracket evenly, together with pending trials.

        While nothing fails, the strongest candidate is its upper end.
        """
        high = float(pool.places[-1]) if self.fails is None else self.fails
        return sections(self.holds, high, frame.inputs(told.pending)[:, 0].tolist(), count)


def answers(frame: Frame, told: Told) -> tuple[Floats, NDArray[np.bool_]]:
    """Where each successful trial of one knob lay, in the frame's coordinate, and whether it met the level: n and n."""
    metrics = [o.metric for o in told.succeeded if o.metric is not None]
    met = np.array([frame.problem.margin(metric) >= 0 for metric in metrics], bool)
    return frame.inputs([o.point for o in told.succeeded])[:, 0], met


class Bisection:
    """Tries the candidate nearest to the middle of the bracket; several at a time divide it evenly.

    In the frame's coordinate; one knob only (else UsageError). It is over when the bracket holds no untried candidate.
    """

    def __init__(self, problem: LevelProblem, *, coordinates: str = "scaled") -> None:
        self._frame = one_knob_frame("bisection", problem, coordinates)
        self._pool = Pool.of(self._frame)

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        left = self._left(told)
        if len(left) == 0:
            return ()
        bracket = SignBracket.of(self._frame, told)
        return self._pool.nearest(left, bracket.middles(self._frame, self._pool, told, count))

    def finished(self, told: Told) -> str | None:
        if not self._pool.points:
            return nothing_better(self._frame.problem)
        if told.pending or len(self._left(told)):
            return None
        return "no untried setting is left between what holds and what fails"

    def _left(self, told: Told) -> NDArray[np.int_]:
        """The untried candidates inside the bracket, by index."""
        left = self._pool.left(told)
        return left[SignBracket.of(self._frame, told).inside(self._pool.places[left])]
