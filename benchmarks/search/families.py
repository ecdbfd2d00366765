"""Five laws by which accuracy falls with sparsity: how much is lost, as a function of where the fall begins.

Every law is a loss in accuracy (a fraction, non-decreasing in sparsity) with one free parameter `start`; a larger start
means that the same loss comes at a higher sparsity. `curves.py` chooses the start so that one point is lost at a given
knee. `t` is the log-density -ln(1 - s), `height` the distance from the reference's accuracy to chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """A law with all its parameters but the start, which lies in `starts` (wide enough for any knee in [0.3, 0.99])."""

    family: str
    loss: Callable[[Array, float | Array], Array]
    starts: tuple[float, float]
    parameters: dict[str, float]


def logistic_in_sparsity(draw: np.random.Generator, height: float, dense_error: float) -> Law:
    """height * sigmoid(k (s - start)); k log-uniform in 15..80."""
    steepness = _log_uniform(draw, 15, 80)

    def loss(s: Array, start: float | Array) -> Array:
        return height * _sigmoid(steepness * (s - start))

    return Law("logistic in s", loss, (-1.0, 3.0), {"steepness": steepness})


def logistic_in_log_density(draw: np.random.Generator, height: float, dense_error: float) -> Law:
    """height * sigmoid(k (t - start)); k log-uniform in 3..25."""
    steepness = _log_uniform(draw, 3, 25)

    def loss(s: Array, start: float | Array) -> Array:
        return height * _sigmoid(steepness * (-np.log1p(-s) - start))

    return Law("logistic in t", loss, (-5.0, 10.0), {"steepness": steepness})


def hinged_power(draw: np.random.Generator, height: float, dense_error: float) -> Law:
    """height * min(1, ((t - start)+ / width)^p): nothing at all until the start; p in 1.2..4, width log-uniform."""
    power, width = float(draw.uniform(1.2, 4)), _log_uniform(draw, 0.5, 3)

    def loss(s: Array, start: float | Array) -> Array:
        beyond: Array = np.maximum(-np.log1p(-s) - start, 0) / width
        return height * np.minimum(1.0, beyond**power)

    return Law("power", loss, (-4.0, 6.0), {"power": power, "width": width})


def error_law(draw: np.random.Generator, height: float, dense_error: float) -> Law:
    """The error of a pruned network as a rational power of its density d, between those of the whole and of chance.

    error = e |(d + i p r) / (d + i p)|^gamma with e the dense error, r = (chance error / e)^(1/gamma), ln p = -start.
    Source: Rosenfeld et al., "On the predictability of pruning across scales", ICML 2021, eq. 1.
    """
    gamma = _log_uniform(draw, 0.8, 3)
    ratio = ((dense_error + height) / dense_error) ** (1 / gamma)

    def loss(s: Array, start: float | Array) -> Array:
        p, d = np.exp(-start), 1 - s
        return dense_error * (((d**2 + (p * ratio) ** 2) / (d**2 + p**2)) ** (gamma / 2) - 1)

    return Law("Rosenfeld", loss, (0.0, 14.0), {"gamma": gamma, "ratio": ratio})


def soft_pieces(draw: np.random.Generator, height: float, dense_error: float) -> Law:
    """Three straight pieces in t with soft corners: flat, a first fall, a steeper one; ends at chance."""
    slope, steeper = _log_uniform(draw, 0.02, 0.3), float(draw.uniform(0.5, 3))
    second, softness = float(draw.uniform(0.1, 0.6)), _log_uniform(draw, 0.01, 0.08)

    def loss(s: Array, start: float | Array) -> Array:
        t = -np.log1p(-s) - start
        fall = slope * _softplus(t, softness) + steeper * _softplus(t - second, softness)
        return np.minimum(height, fall)

    parameters = {"slope": slope, "steeper": steeper, "second": second, "softness": softness}
    return Law("pieces", loss, (-4.0, 6.0), parameters)


LAWS: Final = (logistic_in_sparsity, logistic_in_log_density, hinged_power, error_law, soft_pieces)


def _log_uniform(draw: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(x / 2))  # never overflows


def _softplus(x: Array, width: float) -> Array:
    return width * np.logaddexp(0.0, x / width)
