"""Norms of the rows that produce a unit, and the gain that makes families comparable."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def l1(rows: Tensor) -> Tensor:
    """Sum of magnitudes of each row: `units x k` to `units`."""
    return rows.abs().sum(dim=1)


def l2(rows: Tensor) -> Tensor:
    """Euclidean norm of each row: `units x k` to `units`. Source: Li et al., ICLR 2017, with the 2-norm."""
    return torch.linalg.vector_norm(rows, dim=1)


def scaled_l2(rows: Tensor) -> Tensor:
    """Euclidean norm of each row divided by its length k. Source: Condensa's `scaled_l2norm`."""
    return l2(rows) / rows.shape[1]


def largest(rows: Tensor) -> Tensor:
    """Largest magnitude of each row: `units x k` to `units`."""
    return rows.abs().amax(dim=1)


def smallest(rows: Tensor) -> Tensor:
    """Smallest magnitude of each row: `units x k` to `units`."""
    return rows.abs().amin(dim=1)


def mean(rows: Tensor) -> Tensor:
    """Mean magnitude of each row: `units x k` to `units`."""
    return rows.abs().mean(dim=1)


def share_gained(scores: Tensor) -> Tensor:
    """What keeping each unit adds to sqrt(n) log(retained share of the family's squared score), units in given order.

    Units enter from the highest score down (ties: the earlier first), so the rank-r unit of n gains
    sqrt(n) log(c_r / c_{r-1}) with c the running sum of squares; the best unit gains infinity and is never the one to
    go. Summed over families this is a concave objective, which one threshold over all units maximises for any count:
    layers of any width, fan-in and scale compete on equal terms and none is emptied.

    A threshold on the scores themselves, even divided by their family's mean, decides between layers by differences
    that mean little: it took 28 of 32 filters from the first layer of a small CNN. Without sqrt(n) every layer keeps
    the same count, with n the same fraction; in between is best (`benchmarks/channel_allocation.py`).
    """
    ranked, order = scores.double().sort(descending=True, stable=True)
    running = ranked.square().cumsum(0)
    gains = torch.full_like(running, torch.inf)
    gains[1:] = math.sqrt(len(scores)) * (running[1:] / running[:-1]).log()
    gains = gains.nan_to_num(nan=0.0, posinf=torch.inf)  # 0 / 0: a family of zeros has nothing to lose
    return torch.empty_like(gains).scatter_(0, order, gains)
