"""Searches that fit a Gaussian process to what they were told and try where a score of its posterior is highest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from condensa_core.randomness import Seed
from condensa_core.search.bisection import SignBracket
from condensa_core.search.coordinates import Floats
from condensa_core.search.designs import sobol_units
from condensa_core.search.frames import Frame, frame_named
from condensa_core.search.kernels import MakeKernel, kernel_maker
from condensa_core.search.observation import Observation
from condensa_core.search.pool import Pool
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.sections import sections
from condensa_core.search.space import Point
from condensa_core.search.strategy import Told

if TYPE_CHECKING:
    from condensa_core.search.gaussian_process import GaussianProcess

_ANCHORED_OPENING = 2  # a process of the reference and one point knows neither length-scale nor slope
_BLIND_OPENING = 3


@dataclass(frozen=True)
class Outlook:
    """What a Gaussian process says of n candidates, higher = better.

    `mean` and `sd` (n each) are those of the noise-free metric, `level` the value at its bound, and `best` the highest
    posterior mean among the points it was fitted to: with noise the best reading is a lucky one.
    """

    mean: Floats
    sd: Floats
    level: float
    best: float


Score = Callable[[Outlook], Floats]
LowerEnd = Callable[[Frame, Told], float]  # of one knob: candidates at or below this place are out


class AcquisitionSearch:
    """Tries the candidate with the highest score, of equal ones the mildest, once there is something to fit.

    The opening: two trials bisect where the reference is evidence, else three divide the range evenly; for d > 1 knobs
    2 (d + 1) trials follow a Sobol sequence. A batch asked for during the opening belongs to it as a whole. Trials that
    have not ended count as if they had met the posterior mean, so that several at a time keep apart. It is over when
    every candidate above `lower_end` was tried.
    """

    def __init__(
        self,
        problem: LevelProblem,
        score: Score,
        *,
        seed: Seed,
        coordinates: str = "scaled",
        kernel: MakeKernel | None = None,
        lower_end: LowerEnd | None = None,
    ) -> None:
        self._frame = frame_named(coordinates, problem)
        self._score = score
        self._kernel = kernel or kernel_maker()
        self._seed = seed
        self._lower_end = lower_end
        self._pool = Pool.of(self._frame)
        self._fitted: tuple[tuple[Observation, ...], GaussianProcess, float] | None = None

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        left = self._left(told)
        if len(left) and len(told.succeeded) + len(told.pending) < self._opening_trials():
            return self._opening(told, left, count)
        if len(left) == 0 or not told.succeeded:
            return ()  # without an answer there is nothing to fit: the pending ones come first
        return self._best_scored(told, left, count)

    def finished(self, told: Told) -> str | None:
        if not self._pool.points:
            return nothing_better(self._frame.problem)
        return None if told.pending or len(self._left(told)) else "every setting was tried"

    def _left(self, told: Told) -> NDArray[np.int_]:
        """The candidates that may be proposed, by index."""
        left = self._pool.left(told)
        return left if self._lower_end is None else left[self._pool.places[left] > self._lower_end(self._frame, told)]

    def _opening_trials(self) -> int:
        knobs = len(self._frame.problem.space.knobs)
        if knobs > 1:
            return 2 * (knobs + 1)
        return _ANCHORED_OPENING if self._frame.anchored else _BLIND_OPENING

    def _opening(self, told: Told, left: NDArray[np.int_], count: int) -> tuple[Point, ...]:
        taken = self._frame.inputs([*(o.point for o in told.observations), *told.pending])
        knobs = taken.shape[1]
        if knobs > 1:
            places = sobol_units(len(taken) + count, knobs, self._seed)[len(taken) :]
            distances = ((self._pool.inputs[left] - places[:, None]) ** 2).sum(2)  # count x n
            return tuple(self._pool.points[left[i]] for i in dict.fromkeys(distances.argmin(1).tolist()))
        if self._frame.anchored:
            bracket = SignBracket.of(self._frame, told)
            return self._pool.nearest(left, bracket.middles(self._frame, self._pool, told, count))
        low = 0.0 if self._lower_end is None else self._lower_end(self._frame, told)
        return self._pool.nearest(left, sections(low, 1.0, taken[:, 0].tolist(), count))

    def _best_scored(self, told: Told, left: NDArray[np.int_], count: int) -> tuple[Point, ...]:
        process, best = self._process(told)
        process = process.believing(self._frame.inputs(told.pending))
        chosen: list[int] = []
        while len(left) and len(chosen) < count:
            mean, sd = process.posterior(self._pool.inputs[left])
            winner = int(np.argmax(self._score(Outlook(mean, sd, self._frame.level, best))))
            chosen.append(int(left[winner]))
            left = np.delete(left, winner)
            process = process.believing(self._pool.inputs[chosen[-1:]])
        return tuple(self._pool.points[i] for i in chosen)

    def _process(self, told: Told) -> tuple[GaussianProcess, float]:
        """The process of what was told, fitted once, and its highest mean at a fitted point."""
        if self._fitted is None or self._fitted[0] != told.succeeded:
            from condensa_core.search.gaussian_process import fit_gaussian_process  # here: BoTorch takes seconds

            seen = self._frame.evidence(told.succeeded)
            process = fit_gaussian_process(
                seen.inputs,
                seen.values,
                seen.variances,
                self._kernel,
                standardised=self._frame.standardised,
                seed=self._seed,
            )
            self._fitted = told.succeeded, process, float(process.posterior(seen.inputs)[0].max())
        return self._fitted[1], self._fitted[2]
