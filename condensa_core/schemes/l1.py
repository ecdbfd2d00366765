"""Projections in the l1 norm, which shrink what they keep."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def onto_ball(magnitudes: Tensor, radius: float, weights: Tensor | None = None) -> Tensor:
    """argmin_t sum weights (t - magnitudes)^2, t >= 0, sum t <= radius: a vector in the dtype of `magnitudes`.

    `magnitudes` is a vector of n entries; `weights` (None: all 1) is one too; an entry of weight 0 goes for free.
    The solution is t_i = max(0, m_i - tau / weights_i) with tau = (sum_active m - radius) / (sum_active 1 / weights),
    where the active are the first in descending order of weights_i m_i, as far as that lies above their tau. Sums are
    taken in float64, and the rounded result lies inside the ball, so that projecting it again changes no bit.
    Source: Duchi et al., ICML 2008, figure 1; the weighted form follows from the same stationarity condition.
    """
    if _total(magnitudes) <= radius:
        return magnitudes.clone()
    exact = magnitudes.double()
    weights = torch.ones_like(exact) if weights is None else weights.double()
    exact = exact.masked_fill(weights == 0, 0)
    inverse = 1 / weights.masked_fill(weights == 0, 1)
    breakpoints, order = (exact / inverse).sort(descending=True, stable=True)
    taus = (exact[order].cumsum(0) - radius) / inverse[order].cumsum(0)
    passing = (breakpoints > taus).nonzero().flatten()
    active = int(passing[-1]) + 1 if len(passing) else 0
    if radius == 0 or not active:
        return torch.zeros_like(magnitudes)
    slope = float(inverse[order[:active]].sum())
    tau, times = max(0.0, float(taus[active - 1])), 1
    while _total(shrunk := (exact - tau * inverse).clamp(min=0).to(magnitudes.dtype)) > radius:
        # Rounding put the sum above the radius: shrink by that much, and by more each time.
        tau += max(times * (_total(shrunk) - radius) / slope, math.ulp(tau))
        times *= 2
    return shrunk


def _total(magnitudes: Tensor) -> float:
    return float(magnitudes.double().sum())


def softened(magnitudes: Tensor, threshold: float, weights: Tensor | None = None) -> Tensor:
    """argmin_t threshold sum t + 1/2 sum weights (t - magnitudes)^2, t >= 0: max(0, m_i - threshold / weights_i)."""
    if threshold == 0:
        return magnitudes.clone()
    shift = threshold if weights is None else threshold / weights.double()
    return (magnitudes.double() - shift).clamp(min=0).to(magnitudes.dtype)
