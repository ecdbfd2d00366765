"""The question a search answers: which setting has the best objective among those that keep the metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from condensa_core.errors import UsageError
from condensa_core.search.objectives import Objectives
from condensa_core.search.observation import Observation
from condensa_core.search.profile import ObjectiveProfile, Record
from condensa_core.search.space import Knob, Point, Space, Value
from condensa_core.search.warm_start import ExpectedCrossing, ExpectedStrength

Expected = ExpectedCrossing | ExpectedStrength

_DEFAULT_NOISE = 0.002  # of the reference metric; 0.2 points of accuracy is what training again with a new seed moves


@dataclass(frozen=True)
class Confidence:
    """When a trial is taken to hold its bound: at the level or better, and P >= `probability` or by `clear_sd` sd.

    The strongest of many noisy readings near the level tends to be a lucky one, and P(feasible) given all of them tells
    that; a cliff in turn makes a smooth model distrust points that were measured well, hence the second way.
    """

    probability: float = 0.7
    clear_sd: float = 1.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"the probability of holding the bound must lie in 0..1, got {self.probability}")
        if not self.clear_sd >= 0:
            raise UsageError(f"the standard deviations of a clear pass must be at least 0, got {self.clear_sd}")

    def holds(self, margin: float, sd: float, probability: float) -> bool:
        """Whether a metric `margin` above its level, with noise `sd`, is believed."""
        return margin >= 0 and (probability >= self.probability or self.clears(margin, sd))

    def clears(self, margin: float, sd: float) -> bool:
        """Whether it is above its level by so much that no model is asked."""
        return margin >= 0 and margin >= self.clear_sd * sd


@dataclass(frozen=True)
class LevelProblem:
    """Best objective over `space`, known from `profile`, subject to a metric no worse than `level`.

    One knob has an `ObjectiveProfile` of itself, whose records are the only candidates; several knobs have any
    `Objectives`. `better` says which way the metric improves; both directions are handled as a *margin*, positive where
    the bound holds. `noise_sd` is the standard deviation of a metric whose reading gives none; 0.2 % of the reference
    by default. `sensitivity` holds metrics of untrained candidates that vary one of several knobs: name -> (value,
    metric) pairs. `further` objectives are traded off against the profile's on the Pareto front. `expected` is
    where an earlier search over the one knob found the level, or where several did. `short_readings` are trials of the
    one knob that were trained for a fraction of the time: they read worse the earlier the collapse begins, by a shift
    in t that is learned with the rest, are evidence for whole trials, and are never recommended.
    """

    space: Space
    profile: Objectives
    level: float
    reference_metric: float
    better: Literal["higher", "lower"] = "higher"
    noise_sd: float | None = None
    confidence: Confidence = Confidence()
    sensitivity: Mapping[str, Sequence[tuple[Value, float]]] | None = field(default=None, hash=False)
    further: tuple[Objectives, ...] = ()
    expected: Expected | tuple[Expected, ...] | None = None
    short_readings: tuple[Observation, ...] = field(default=(), hash=False)

    def __post_init__(self) -> None:
        if isinstance(self.profile, ObjectiveProfile) and self.space.knobs != (self.profile.knob,):
            names = ", ".join(map(repr, self.space.names))
            raise UsageError(f"the profile is of knob {self.profile.knob.name!r}, the space of {names}")
        if len(self.space.knobs) == 1 and not isinstance(self.profile, ObjectiveProfile):
            raise UsageError("one knob needs an ObjectiveProfile over its values")
        if (self.expectations or self.short_readings) and len(self.space.knobs) != 1:
            what = "an expected crossing belongs" if self.expectations else "short readings belong"
            raise UsageError(f"{what} to a search over one knob")
        for expected in self.expectations:
            expected.strength(self.knob)
        for reading in self.short_readings:
            self.units(reading.point)
        if self.better not in ("higher", "lower"):
            raise UsageError(f"better must be higher or lower, got {self.better!r}")
        if not (math.isfinite(self.level) and math.isfinite(self.reference_metric)):
            raise UsageError(f"level {self.level} and reference metric {self.reference_metric} must be finite")
        if self.noise_sd is not None and not (math.isfinite(self.noise_sd) and self.noise_sd >= 0):
            raise UsageError(f"the noise of the metric must be at least 0, got {self.noise_sd}")

    @property
    def expectations(self) -> tuple[Expected, ...]:
        """What earlier searches expect of the crossing, one by one."""
        if self.expected is None:
            return ()
        return self.expected if isinstance(self.expected, tuple) else (self.expected,)

    @property
    def knob(self) -> Knob:
        """The knob of a problem that has one."""
        (knob,) = self.space.knobs
        return knob

    @property
    def records(self) -> tuple[Record, ...]:
        """The settings worth a trial, mild to strong, of a problem with one knob."""
        assert isinstance(self.profile, ObjectiveProfile)
        return self.profile.records()

    @property
    def drop(self) -> float:
        """The distance from reference to level that scales the metric; never below two noise standard deviations."""
        smallest = max(2 * self.default_sd, 1e-6 * abs(self.reference_metric), 1e-12)
        return max(abs(self.reference_metric - self.level), smallest)

    @property
    def default_sd(self) -> float:
        """The noise assumed for a reading without its own."""
        return _DEFAULT_NOISE * abs(self.reference_metric) if self.noise_sd is None else self.noise_sd

    def margin(self, metric: float) -> float:
        """How far a metric lies on the good side of the level; negative where the bound is broken."""
        return metric - self.level if self.better == "higher" else self.level - metric

    def sd(self, observation: Observation) -> float:
        """The noise of an observation's metric."""
        return self.default_sd if observation.sd is None else observation.sd

    def units(self, point: Point) -> tuple[float, ...]:
        """The point in the unit cube, a coordinate per knob: 0 at the reference, 1 at the strongest value."""
        return self.space.encode(point)

    def objective(self, observation: Observation) -> float | None:
        """The objective measured on the finished candidate, else the profile's; None where neither is known."""
        if observation.objective is not None:
            return observation.objective
        return self.profile.at(observation.point)
