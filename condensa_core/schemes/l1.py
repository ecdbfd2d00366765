"""Projections in the l1 norm, which shrink what they keep."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def onto_ball(magnitudes: Tensor, radius: float, weights: Tensor | None = None) -> Tensor:
    """argmin_t sum weights (t - magnitudes)^2, t >= 0, sum t <= radius: a vector in the dtype of `magnitudes`.

    `magnitudes` is a vector of n entries; `weights` (None: all 1) is one too; an entry of weight 0 goes for free. The
    solution is t_i = max(0, m_i - tau / weights_i), tau = (sum_active m - radius) / (sum_active 1 / weights). With all
    entries taken as active tau is too small; those that do not reach it cannot be active, and without them tau grows,
    until all that are left reach it: exact after finitely many linear passes. Sums are taken in float64, and the
    rounded result lies inside the ball, so that projecting it again changes no bit.
    Source: Michelot, JOTA 50 (1986); Condat, "Fast projection onto the simplex and the l1 ball", Math. Program. 2016.
    """
    if _total(magnitudes) <= radius:
        return magnitudes.clone()
    exact = magnitudes.double()
    weights = torch.ones_like(exact) if weights is None else weights.double()
    exact = exact.masked_fill(weights == 0, 0)
    inverse = 1 / weights.masked_fill(weights == 0, 1)
    tau, slope = _threshold(exact, inverse, radius)
    times = 1
    while _total(shrunk := (exact - tau * inverse).clamp(min=0).to(magnitudes.dtype)) > radius:
        # Rounding put the sum above the radius: shrink by that much, and by more each time.
        tau += max(times * (_total(shrunk) - radius) / slope, math.ulp(tau))
        times *= 2
    return shrunk


def _threshold(magnitudes: Tensor, inverse: Tensor, radius: float) -> tuple[float, float]:
    """tau, and by how much the sum shrinks where tau grows by 1; (0, 1) where nothing has to shrink."""
    active = magnitudes > 0
    tau, slope = 0.0, 1.0
    while bool(active.any()):
        magnitudes, inverse = magnitudes[active], inverse[active]
        excess, slope = _total(magnitudes) - radius, _total(inverse)
        if excess <= 0:
            break
        tau = excess / slope
        active = magnitudes > tau * inverse
        if bool(active.all()):
            break
    return tau, slope


def _total(magnitudes: Tensor) -> float:
    return float(magnitudes.double().sum())


def softened(magnitudes: Tensor, threshold: float, weights: Tensor | None = None) -> Tensor:
    """argmin_t threshold sum t + 1/2 sum weights (t - magnitudes)^2, t >= 0: max(0, m_i - threshold / weights_i)."""
    if threshold == 0:
        return magnitudes.clone()
    shift = threshold if weights is None else threshold / weights.double()
    return (magnitudes.double() - shift).clamp(min=0).to(magnitudes.dtype)
