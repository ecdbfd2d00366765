"""Where a collapsing metric crosses its level: a collapse curve with free crossing plus a smooth residual, averaged.

All arrays are in t, a strength that is 0 at the reference (for sparsities -ln(1 - s)), and z = asinh(margin / drop).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from condensa_core.search.coordinates import Floats

_CROSSINGS: Final = 110
STEEPNESSES: Final = np.geomspace(0.7, 60.0, 9)  # per unit of t: from a slow fall over the whole range to a cliff
OFFSETS: Final = np.array([0.0, 0.35, 1.0])  # of the drop: how far the plateau lies above the reference
AMPLITUDES: Final = np.array([0.08, 0.25, 0.7])  # of the residual, in z
_LENGTH: Final = 2.0  # of the residual, in t; shorter ones (0.7, 1.2) gave P(feasible) a larger Brier score
BEYOND: Final = 1.25  # crossings up to here, in units of the strongest setting: the metric may never cross
_ZOOMS: Final = 3
_SPARED: Final = 1e-4  # weight outside the crossings that a zoom keeps
_HALVINGS: Final = 24  # of at most a few tens of z: a median good to 1e-6
_DRAWN_HALVINGS: Final = 14  # quantiles good to 0.002, less than a picture shows
_PRUNED: Final = 1e-3  # weight of the models that are left out of predictions


@dataclass(frozen=True)
class Readings:
    """n readings: `t` and `z` and the variance of z, all n; the reference, where it anchors the curve, is one."""

    t: Floats
    z: Floats
    variance: Floats


@dataclass(frozen=True)
class Shape:
    """What is known of the collapse beforehand, in units of the drop: the plateau above the level, and the whole fall.

    `reach` is the t of the strongest setting.
    """

    plateau: float
    fall: float
    reach: float


@dataclass(frozen=True)
class Models:
    """k collapse curves with a residual each, and their weights."""

    shape: Shape
    crossing: Floats
    steepness: Floats
    offset: Floats
    amplitude: Floats
    weight: Floats

    def means(self, t: Floats) -> Floats:
        """z of every curve at m strengths without residual: k x m. Each crosses its level exactly at its crossing."""
        top = (self.shape.plateau + self.offset)[:, None]
        fall = (self.shape.fall + self.offset)[:, None]
        start = np.log(top / (fall - top))
        steps = self.steepness[:, None] * (t[None, :] - self.crossing[:, None]) + start
        return np.arcsinh(top - fall / (1 + np.exp(-np.clip(steps, -500, 500))))

    def kept(self, chosen: NDArray[np.intp]) -> Models:
        """The models at these positions, weights summing to 1."""
        weight = self.weight[chosen]
        return Models(
            self.shape,
            self.crossing[chosen],
            self.steepness[chosen],
            self.offset[chosen],
            self.amplitude[chosen],
            weight / weight.sum(),
        )


def residual_covariance(a: Floats, b: Floats) -> Floats:
    """The Matern-5/2 correlation of the residual between n and m strengths: n x m."""
    r = np.sqrt(5) * np.abs(a[:, None] - b[None, :]) / _LENGTH
    return np.asarray((1 + r + r**2 / 3) * np.exp(-r))


@dataclass(frozen=True)
class CollapsePosterior:
    """The models weighted by the marginal likelihood of the readings, and the residual given them."""

    readings: Readings
    models: Models

    @cached_property
    def _solved(self) -> tuple[dict[float, Floats], Floats]:
        """Per amplitude the inverse covariance of the readings, and per model the weights of its residual (k x n)."""
        inverses: dict[float, Floats] = {
            a: np.asarray(np.linalg.inv(_covariance(self.readings, a)), dtype=np.float64)
            for a in np.unique(self.models.amplitude).tolist()
        }
        left = self.readings.z[None, :] - self.models.means(self.readings.t)
        alphas = np.empty_like(left)
        for a, inverse in inverses.items():
            of = self.models.amplitude == a
            alphas[of] = left[of] @ inverse
        return inverses, alphas

    def predict(self, t: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of z at m strengths under each of the k models: k x m each."""
        inverses, alphas = self._solved
        mean, sd = self.models.means(t), np.empty((len(self.models.weight), len(t)))
        correlation = residual_covariance(t, self.readings.t)  # m x n
        for a, inverse in inverses.items():
            of = self.models.amplitude == a
            between = a**2 * correlation
            mean[of] += alphas[of] @ between.T
            variance = a**2 - np.einsum("mn,nl,ml->m", between, inverse, between)
            sd[of] = np.sqrt(np.maximum(variance, 1e-12))
        return mean, sd

    def probabilities(self, t: Floats, above: Sequence[float]) -> tuple[Floats, ...]:
        """For each of `above`, P(z >= it) at m strengths, before any assumption of monotony."""
        from scipy.special import ndtr  # here: the room must import quickly

        mean, sd = self.predict(t)
        return tuple(np.minimum(self.models.weight @ ndtr((mean - least) / sd), 1.0) for least in above)

    def median_and_sd(self, t: Floats) -> tuple[Floats, Floats]:
        """Median and standard deviation of z at m strengths."""
        mean, sd = self.predict(t)
        weight = self.models.weight
        spread = weight @ (sd**2 + (mean - weight @ mean) ** 2)
        return self._quantile(mean, sd, 0.5, _HALVINGS), np.sqrt(spread)

    def quantiles(self, t: Floats, below: Sequence[float]) -> tuple[Floats, ...]:
        """For each of `below`, in (0, 1), the z at m strengths that the noise-free z lies under with this probability.

        The models give a mixture of normal distributions; its quantiles are found by bisection,
        to about 0.002.
        """
        mean, sd = self.predict(t)
        return tuple(self._quantile(mean, sd, share, _DRAWN_HALVINGS) for share in below)

    def _quantile(self, mean: Floats, sd: Floats, share: float, halvings: int) -> Floats:
        """Of the mixture with these means and standard deviations, k x m each: m."""
        from scipy.special import ndtr

        weight = self.models.weight
        low, high = mean.min(axis=0) - 5 * sd.max(axis=0), mean.max(axis=0) + 5 * sd.max(axis=0)
        for _ in range(halvings):
            middle = (low + high) / 2
            under = weight @ ndtr((middle - mean) / sd) < share
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return (low + high) / 2


def _covariance(readings: Readings, amplitude: float) -> Floats:
    return np.asarray(amplitude**2 * residual_covariance(readings.t, readings.t) + np.diag(readings.variance))


def collapse_posterior(
    readings: Readings, shape: Shape, log_prior: Callable[[Models], Floats] | None = None
) -> CollapsePosterior:
    """The posterior given the readings; `log_prior` is that of each model up to a constant, uniform when None.

    Crossings lie on a grid that is laid again, finer, over the part that holds the weight.
    """
    low, high = 0.0, BEYOND * shape.reach
    for _ in range(_ZOOMS):
        crossings = low + (high - low) * (np.arange(_CROSSINGS) + 0.5) / _CROSSINGS
        models = _weighted(readings, _grid(shape, crossings), log_prior)
        of_crossing = models.weight.reshape(_CROSSINGS, -1).sum(axis=1)
        below = np.cumsum(of_crossing)
        first, last = np.searchsorted(below, [_SPARED / 2, 1 - _SPARED / 2])
        width = (high - low) / _CROSSINGS
        if last - first > 0.5 * _CROSSINGS:
            break
        low, high = max(low, low + (first - 1) * width), min(high, low + (last + 2) * width)
    order = np.argsort(-models.weight, kind="stable")
    count = int(np.searchsorted(np.cumsum(models.weight[order]), 1 - _PRUNED)) + 1
    return CollapsePosterior(readings, models.kept(order[:count]))


def _grid(shape: Shape, crossings: Floats) -> Models:
    axes = np.meshgrid(crossings, STEEPNESSES, OFFSETS, AMPLITUDES, indexing="ij")
    t, beta, offset, amplitude = (axis.ravel() for axis in axes)
    return Models(shape, t, beta, offset, amplitude, np.ones_like(t))


def _weighted(readings: Readings, models: Models, log_prior: Callable[[Models], Floats] | None) -> Models:
    """The models with their prior weights times the marginal likelihood of the readings, summing to 1."""
    log_weight = log_likelihood(readings, models)
    if log_prior is not None:  # added as it is: a weight that underflows could not be won back by the readings
        log_weight = log_weight + log_prior(models)
    weight = np.exp(log_weight - log_weight.max())
    return replace(models, weight=weight / weight.sum())


def log_likelihood(readings: Readings, models: Models) -> Floats:
    """Of the readings under each of k models, the residual integrated out, up to a constant: k."""
    left = readings.z[None, :] - models.means(readings.t)  # k x n
    found = np.empty(len(left))
    for a in AMPLITUDES.tolist():
        of = models.amplitude == a
        root = np.linalg.cholesky(_covariance(readings, a))
        whitened = np.linalg.solve(root, left[of].T)  # n x k
        found[of] = -0.5 * (whitened**2).sum(axis=0) - np.log(np.diag(root)).sum()
    return found
