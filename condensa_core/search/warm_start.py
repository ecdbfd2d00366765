"""What an earlier search of the same or a similar recipe says about where the level lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.search.coordinates import Floats
from condensa_core.search.space import Knob, Value

_DEGREES: Final = 3.0


@dataclass(frozen=True)
class ExpectedCrossing:
    """A prior for the knob value where the metric meets its bound: Student-t with 3 degrees of freedom.

    `sd` is its scale in -ln(what is left) (`Knob.reach`): 0.3 for the same recipe with another seed, 0.6 for a similar
    one. The tails are heavy, so that a wrong expectation is given up after a few trials.
    """

    value: Value
    sd: float = 0.3

    def __post_init__(self) -> None:
        _check_scale(self.sd)

    def strength(self, knob: Knob) -> ExpectedStrength:
        """The same prior in the coordinate of the belief; UsageError for a value that the knob cannot have."""
        return ExpectedStrength(knob.unit(self.value) * knob.reach, self.sd)


@dataclass(frozen=True)
class ExpectedStrength:
    """`ExpectedCrossing` at a strength t = unit coordinate * `Knob.reach`, which no value of the knob need have.

    t may lie beyond the strongest setting, where the metric is expected to hold everywhere.
    """

    t: float
    sd: float

    def __post_init__(self) -> None:
        _check_scale(self.sd)
        if not math.isfinite(self.t):
            raise UsageError(f"an expected crossing must be finite, got t = {self.t}")

    def strength(self, knob: Knob) -> ExpectedStrength:
        return self

    def log_density(self, t: Floats) -> Floats:
        """Up to a constant, at n strengths: n."""
        return np.asarray(-0.5 * (_DEGREES + 1) * np.log1p(((t - self.t) / self.sd) ** 2 / _DEGREES))


class HeldUpTo(ExpectedStrength):
    """What a search says that broke its bound nowhere: the level lies at t, its strongest trial, or anywhere beyond.

    The density is flat from t on, and falls to milder strengths as that of `ExpectedStrength` does.
    """

    def log_density(self, t: Floats) -> Floats:
        return super().log_density(np.minimum(t, self.t))


def _check_scale(sd: float) -> None:
    if not (math.isfinite(sd) and sd > 0):
        raise UsageError(f"the scale of an expected crossing must be positive, got {sd}")
