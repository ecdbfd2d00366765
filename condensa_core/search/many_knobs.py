"""The default search over several knobs: along an allocation curve first, then around it, the objective being known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.allocation import AllocationCurve, allocation_curve, uniform_curve
from condensa_core.search.coordinates import Floats
from condensa_core.search.curve_walk import CurveWalk
from condensa_core.search.judgement import judge
from condensa_core.search.known_objective import log_belief, log_gains, log_improvement
from condensa_core.search.local_search import best_rows
from condensa_core.search.mixed import UnitLattice
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.sensitivity import measured_sensitivity
from condensa_core.search.space import Point
from condensa_core.search.strategy import Told

if TYPE_CHECKING:
    from condensa_core.search.knob_gp import KnobGP

_CURVE_RUNS = 4  # locate the level along the curve to some hundredths; more were spent better beside it
_LEAST_GAIN = 0.003  # gains of several knobs come in small steps, so a smaller one than with one knob is worth a run


@dataclass(frozen=True)
class _Ranked:
    """Candidates by their expected relative improvement, best first."""

    units: Floats
    log_improvements: Floats


class ManyKnobs:
    """Level-set search over several knobs whose objective is known before training.

    1. The first trials (`curve_runs`, or fewer if that finds the level) walk the allocation curve: of all settings with
       the same objective those that the sensitivity expects to lose least. Without one: equal unit coordinates.
    2. Later ones maximise the known-objective constrained expected improvement under a Gaussian process of the metric,
       whose mean is the sensitivity's, over the curve, the space, and the neighbourhood of what was tried.
    Over when the best candidate is expected to improve the objective by less than `least_gain`.

    From a design that fills the space instead, no method reaches in 10 trials of four knobs what the curve does.
    """

    def __init__(
        self,
        problem: LevelProblem,
        *,
        seed: Seed,
        curve_runs: int = _CURVE_RUNS,
        least_gain: float = _LEAST_GAIN,
    ) -> None:
        self.problem = problem
        self.curve = curve_of(problem)
        self._seed = seed
        self._curve_runs = curve_runs
        self._least_gain = least_gain
        self._lattice = UnitLattice.of(problem.space)
        self._walk = CurveWalk.of(problem, self.curve) if len(self.curve.gains) > 1 else None
        self._fitted: tuple[tuple[Observation, ...], KnobGP] | None = None
        self._ranking: tuple[Told, _Ranked] | None = None

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        points: list[Point] = []
        while len(points) < count:
            seen = Told(told.observations, (*told.pending, *points))
            if (walk := self._walking(seen)) is not None:
                room = self._curve_runs - len(seen.observations) - len(seen.pending)
                found = seen.untaken(walk.propose(seen, min(count - len(points), room)))
            else:
                found = self._best_of(seen)
            if not found:
                break
            points += found
        return tuple(points)

    def finished(self, told: Told) -> str | None:
        if not len(self.curve.gains):
            return nothing_better(self.problem)
        if told.pending or self._walking(told) is not None:
            return None
        ranked = self._ranked(told)
        if not len(ranked.units) or ranked.log_improvements[0] < math.log(self._least_gain):
            return f"another trial is expected to gain less than {self._least_gain:.1%}"
        return None

    def _walking(self, told: Told) -> CurveWalk | None:
        """The walk along the curve while it lasts."""
        if self._walk is None or len(told.observations) + len(told.pending) >= self._curve_runs:
            return None
        return self._walk if self._walk.finished(told) is None else None

    def _best_of(self, told: Told) -> list[Point]:
        """The untaken candidate with the largest expected improvement; none when nothing could improve."""
        return told.untaken(self._lattice.points(self._ranked(told).units))[:1]

    def _ranked(self, told: Told) -> _Ranked:
        if self._ranking is None or self._ranking[0] != told:
            self._ranking = told, self._maximised(told)
        return self._ranking[1]

    def _maximised(self, told: Told) -> _Ranked:
        pending = self._lattice.rows(told.pending)
        belief = self._belief(told).believing(pending)
        judged = judge(self.problem, told.observations, belief)
        # the best that holds, shipped or not: what is likelier to hold than it, and milder, needs no further trial
        safe = max((math.log1p(j.gain) for j in judged if j.holds and j.gain > 0), default=0.0)
        if len(pending):  # what is believed to come out at its median holds if that does
            holding = belief.margins(pending)[0] >= 0
            safe = max([safe, *np.nan_to_num(log_gains(self.problem.profile, pending))[holding].tolist()])
        noise = self.problem.default_sd / self.problem.drop  # of z near the level
        rng = self._seed.numpy_generator("candidates", len(told.observations), len(told.pending))

        def score(rows: Floats) -> Floats:
            scores = np.full(len(rows), -np.inf)
            gains = np.nan_to_num(log_gains(self.problem.profile, rows), nan=-np.inf)
            better = gains > safe
            if better.any():
                mean, sd = belief.margins(rows[better])
                believed = log_belief(mean, sd, noise, self.problem.confidence)
                scores[better] = log_improvement(gains[better], safe) + believed
            return scores

        tried = self._lattice.rows([j.observation.point for j in judged if not j.fails])
        return _Ranked(*best_rows(self._lattice, score, np.vstack([self.curve.units, tried]), rng))

    def _belief(self, told: Told) -> KnobGP:
        if self._fitted is None or self._fitted[0] != told.observations:
            from condensa_core.search.knob_gp import fit_knob_gp  # here: BoTorch takes seconds to load

            self._fitted = told.observations, fit_knob_gp(self.problem, told.observations, self._seed)
        return self._fitted[1]


def curve_of(problem: LevelProblem) -> AllocationCurve:
    """The allocation curve by the problem's sensitivity, else that of equal unit coordinates."""
    if problem.sensitivity is None:
        return uniform_curve(problem.space, problem.profile)
    sensitivity = measured_sensitivity(problem, problem.sensitivity)
    return allocation_curve(problem.space, problem.profile, sensitivity.damage)
