"""An allocation curve as a problem of one knob, so that what finds a level on one knob finds it along the curve."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from condensa_core.search.allocation import AllocationCurve
from condensa_core.search.level_set import LevelSetSearch
from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import ObjectiveProfile
from condensa_core.search.space import Knob, Point, Space, point_key
from condensa_core.search.strategy import Strategy, Told

_NAME = "kept"  # what a point of the curve leaves of the reference's objective: 1 / (1 + gain)


@dataclass(frozen=True)
class CurveWalk:
    """A strategy for one knob, walking the points of a curve through a space of several.

    The one knob is what is left, 1 / (1 + gain), a density: its unit coordinate is the strength of the curve. What was
    told of points off the curve is not passed on.
    """

    strategy: Strategy
    by_kept: dict[float, Point]
    kept_of: dict[str, float]

    @classmethod
    def of(cls, problem: LevelProblem, curve: AllocationCurve) -> CurveWalk:
        """The level-set search of one knob over a curve of at least two points."""
        points: list[Point] = [problem.space.decode(row) for row in curve.units.tolist()]
        kept = [math.exp(-gain) for gain in curve.gains.tolist()]
        reference = problem.profile.reference
        larger = problem.profile.direction == "maximize"
        objectives = [(k, reference / k if larger else reference * k) for k in kept]
        knob = Knob(_NAME, range=(kept[-1], 1.0), strongest="low")
        profile = ObjectiveProfile.measured(
            knob, objectives, reference, problem.profile.direction, problem.profile.margin, problem.profile.name
        )
        strategy = LevelSetSearch(replace(problem, space=Space((knob,)), profile=profile, sensitivity=None))
        by_kept = dict(zip(kept, points, strict=True))
        return cls(strategy, by_kept, {point_key(point): k for k, point in by_kept.items()})

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        """Points of the space, all on the curve."""
        return tuple(self.by_kept[float(p[_NAME])] for p in self.strategy.propose(self._along(told), count))

    def finished(self, told: Told) -> str | None:
        """Why no further point of the curve is worth a trial."""
        return self.strategy.finished(self._along(told))

    def _along(self, told: Told) -> Told:
        observations = tuple(
            replace(o, point={_NAME: self.kept_of[key]})
            for o in told.observations
            if (key := point_key(o.point)) in self.kept_of
        )
        pending = tuple({_NAME: self.kept_of[key]} for p in told.pending if (key := point_key(p)) in self.kept_of)
        return Told(observations, pending)
