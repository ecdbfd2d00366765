"""What an earlier search of the same or a similar recipe says about where the level lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.search.coordinates import Floats
from condensa_core.search.space import Value

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
        if not (math.isfinite(self.sd) and self.sd > 0):
            raise UsageError(f"the scale of an expected crossing must be positive, got {self.sd}")

    def log_density(self, t: Floats, expected: float) -> Floats:
        """Up to a constant, at strengths `t` when `expected` is that of the value."""
        return np.asarray(-0.5 * (_DEGREES + 1) * np.log1p(((t - expected) / self.sd) ** 2 / _DEGREES))
