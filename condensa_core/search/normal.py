"""The standard normal distribution, far into its tails."""

from __future__ import annotations

import math

import numpy as np

from condensa_core.search.coordinates import Floats

_LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)
_FAR = -25.0  # below it erfc nears underflow, and three terms of the asymptotic series are good to eight digits

_erfc = np.frompyfunc(math.erfc, 1, 1)


def cdf(x: Floats) -> Floats:
    """P(X <= x), elementwise, with full relative precision in the lower tail."""
    return np.asarray(_erfc(-np.asarray(x, float) / math.sqrt(2)), float) / 2


def pdf(x: Floats) -> Floats:
    """The density at x, elementwise."""
    return np.exp(-0.5 * np.square(x) - _LOG_SQRT_TAU)


def log_cdf(x: Floats) -> Floats:
    """log P(X <= x), elementwise; finite and strictly increasing wherever float64 can tell two x apart.

    Above 0 through the upper tail, which keeps the distance to 1; far below 0 by Mills' ratio.
    """
    x = np.asarray(x, float)
    far = np.minimum(x, _FAR)  # where it is not used, any value that overflows nothing
    near = np.clip(x, _FAR, 0.0)
    tail = -0.5 * far**2 - _LOG_SQRT_TAU - np.log(-far) + np.log1p(-1 / far**2 + 3 / far**4 - 15 / far**6)
    return np.where(x < _FAR, tail, np.where(x < 0, np.log(cdf(near)), np.log1p(-cdf(-np.maximum(x, 0.0)))))


def log_mean_excess(x: Floats) -> Floats:
    """log E[(X + x)^+] = log(pdf(x) + x cdf(x)), elementwise; finite and increasing also far below 0.

    The logarithm of what expected improvement needs, whose own value underflows a few standard deviations away.
    Source: Ament et al., "Unexpected Improvements to Expected Improvement", NeurIPS 2023, section 4.1.
    """
    x = np.asarray(x, float)
    far, near = np.minimum(x, _FAR), np.maximum(x, _FAR)
    tail = -0.5 * far**2 - _LOG_SQRT_TAU - 2 * np.log(-far) + np.log1p(-3 / far**2 + 15 / far**4 - 105 / far**6)
    return np.where(x < _FAR, tail, np.log(pdf(near) + near * cdf(near)))
