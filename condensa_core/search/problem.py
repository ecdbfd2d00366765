"""The question a search answers: which setting has the best objective among those that keep the metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from condensa_core.errors import UsageError
from condensa_core.search.observation import Observation
from condensa_core.search.profile import ObjectiveProfile
from condensa_core.search.space import Knob, Space

_DEFAULT_NOISE = 0.002  # of the reference metric; 0.2 points of accuracy is what training again with a new seed moves


@dataclass(frozen=True)
class LevelProblem:
    """Best objective over the records of `profile` subject to a metric no worse than `level`.

    `better` says which way the metric improves; both directions are handled as a *margin*, positive where the bound
    holds. `noise_sd` is the standard deviation of a metric whose reading gives none; 0.2 % of the reference by default.
    """

    space: Space
    profile: ObjectiveProfile
    level: float
    reference_metric: float
    better: Literal["higher", "lower"] = "higher"
    noise_sd: float | None = None

    def __post_init__(self) -> None:
        if len(self.space.knobs) != 1:
            names = ", ".join(self.space.names)
            raise UsageError(
                f"searching {len(self.space.knobs)} knobs at once ({names}) is not available in this version",
                hint="keep one knob and give the others fixed values",
            )
        if self.space.knobs[0] != self.profile.knob:
            raise UsageError(f"the profile is of knob {self.profile.knob.name!r}, not of {self.space.knobs[0].name!r}")
        if self.better not in ("higher", "lower"):
            raise UsageError(f"better must be higher or lower, got {self.better!r}")
        if not (math.isfinite(self.level) and math.isfinite(self.reference_metric)):
            raise UsageError(f"level {self.level} and reference metric {self.reference_metric} must be finite")
        if self.noise_sd is not None and not (math.isfinite(self.noise_sd) and self.noise_sd >= 0):
            raise UsageError(f"the noise of the metric must be at least 0, got {self.noise_sd}")

    @property
    def knob(self) -> Knob:
        return self.space.knobs[0]

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

    def unit(self, observation: Observation) -> float:
        """Where the observation lies between the reference (0) and the strongest setting (1)."""
        return self.space.encode(observation.point)[0]

    def objective(self, observation: Observation) -> float | None:
        """The objective measured on the finished candidate, else the profile's; None where neither is known."""
        if observation.objective is not None:
            return observation.objective
        return self.profile.objective_at(observation.point[self.knob.name])
