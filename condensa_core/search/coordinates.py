"""The coordinate in which a collapsing metric looks smooth to a Gaussian process."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# z = 0.01 is 1 % of the drop: below any training noise, and far enough from zero for a stable Cholesky factor
_LEAST_VARIANCE = 1e-4


def collapse(margin: float, drop: float) -> float:
    """z = asinh(margin / drop): 0 at the level, linear near it, logarithmic in the collapse far below it.

    `margin` is metric minus level (positive = feasible), `drop` > 0 the distance from reference to level. The reference
    lies at asinh(1) = 0.881. Standardising the raw metric instead squeezes the whole plateau and the level into a few
    hundredths of a standard deviation, because the collapse takes up the scale.
    """
    return math.asinh(margin / drop)


def collapse_variance(margin: float, sd: float, drop: float) -> float:
    """The variance of `collapse(margin, drop)` when the metric has standard deviation `sd` (delta method), floored."""
    return max((sd / drop) ** 2 / (1.0 + (margin / drop) ** 2), _LEAST_VARIANCE)
