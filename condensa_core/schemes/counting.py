"""Exact counts and exact selection: how many survive, and which, with ties decided by position."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from condensa_core.errors import SchemeError


def kept_of(total: int, sparsity: float) -> int:
    """How many of `total` survive at `sparsity` in [0, 1]: the nearest count, halves keep one more.

    The decimal the user wrote is what counts: 0.29 of 100 removes 29, although 0.29 * 100 < 29 in binary.
    Raises SchemeError outside [0, 1].
    """
    if not 0 <= sparsity <= 1:
        hint = f"write {sparsity / 100:g} for {sparsity:g}%" if 1 < sparsity <= 100 else None
        raise SchemeError(f"sparsity {sparsity:g} is outside [0, 1]", hint=hint)
    removed = math.ceil(Fraction(repr(float(sparsity))) * total - Fraction(1, 2))
    return total - removed


def largest(scores: Tensor, kept: int) -> Tensor:
    """Boolean mask of the `kept` largest of n `scores`, same shape; equal scores: the earlier position survives.

    0 <= kept <= n, else SchemeError; NaN scores are refused. Linear time: one selection, no sort.
    """
    n = scores.numel()
    if not 0 <= kept <= n:
        raise SchemeError(f"kept must lie in 0..{n}, got {kept}")
    if kept == 0 or kept == n:
        return torch.full_like(scores, kept == n, dtype=torch.bool)
    flat = scores.flatten()
    if bool(flat.amax().isnan()):
        raise SchemeError("scores hold NaN: no order can be given to them")
    threshold = _kth_largest(flat, kept)
    mask = flat >= threshold
    surplus = int(mask.count_nonzero()) - kept
    if surplus:
        ties = (flat == threshold).nonzero().flatten()
        mask[ties[len(ties) - surplus :]] = False
    return mask.view(scores.shape)


_SAMPLED_FROM = 2**14  # below it one selection over everything costs less than a millisecond
_STRIDE = 64


def _kth_largest(flat: Tensor, k: int) -> Tensor:
    """The k-th largest of n > k >= 1 numbers, exactly.

    A sample gives a bound that about 1.15 k of them pass; selecting among those is 2 to 3 times faster than among all.
    Where fewer than k pass, because the sample misled, all of them are candidates.
    """
    n = flat.numel()
    if n >= _SAMPLED_FROM and k < n // 4:
        sample = flat[::_STRIDE]
        rank = min(len(sample), math.ceil(1.15 * k * len(sample) / n) + 20)
        candidates = flat[flat >= torch.topk(sample, rank, sorted=False).values.amin()]
        flat = candidates if len(candidates) >= k else flat
    return torch.topk(flat, k, sorted=False).values.amin()
