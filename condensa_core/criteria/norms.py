"""Norms of the rows that produce a unit, and the scaling that makes families comparable."""

from __future__ import annotations

import torch
from torch import Tensor


def l1(rows: Tensor) -> Tensor:
    """Sum of magnitudes of each row: `units x k` to `units`."""
    return rows.abs().sum(dim=1)


def l2(rows: Tensor) -> Tensor:
    """Euclidean norm of each row: `units x k` to `units`. Source: Li et al., ICLR 2017, with the 2-norm."""
    return torch.linalg.vector_norm(rows, dim=1)


def largest(rows: Tensor) -> Tensor:
    """Largest magnitude of each row: `units x k` to `units`."""
    return rows.abs().amax(dim=1)


def mean(rows: Tensor) -> Tensor:
    """Mean magnitude of each row: `units x k` to `units`."""
    return rows.abs().mean(dim=1)


def scale_free(scores: Tensor) -> Tensor:
    """Scores divided by their root mean square, so that families of any width and fan-in compete on equal terms.

    A global threshold on raw norms empties whole layers (the first, with its small fan-in, before all others); relative
    to its own family an untrained unit scores about 1 everywhere. An all-zero family stays zero.
    """
    scale = scores.square().mean().sqrt()
    return scores / scale if scale > 0 else scores
