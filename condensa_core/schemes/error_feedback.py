"""Rounding against a Gram metric: later columns make up for the errors of earlier ones."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from condensa_core.schemes.affine import nearest_level

_DAMPING: Final = 0.01  # of the mean diagonal, as in GPTQ
_LAZY: Final = 128  # columns whose errors are passed on together


def round_with_feedback(w: Tensor, scale: Tensor, low: Tensor, high: Tensor, alive: Tensor, gram: Tensor) -> Tensor:
    """Levels q (m x n) that make sum over rows of (w - s q) H (w - s q)^T small, each row at least as small as nearest.

    `w`, `scale`, `low`, `high`, `alive` are m x n, `gram` is H, n x n, positive semi-definite; float64. Columns are
    rounded one by one, those with the most energy first; the error of each is made up for by the least squares change
    of all that are still free. Then, twice, each level in turn takes its best value while all others stay. Levels are 0
    where not `alive`. A descent, not a global minimiser.
    Source: Frantar et al., GPTQ, arXiv:2210.17323, with Hassibi and Stork's update; the turns: coordinate descent,
    Behdin et al., QuantEase, arXiv:2309.01885.
    """
    nearest = nearest_level(w, scale, low, high) * alive
    order = gram.diagonal().argsort(descending=True, stable=True)
    back = order.argsort()
    ordered = [t[:, order] for t in (w, scale, low, high, alive, gram[order])]
    found = _feedback(*ordered)[:, back]
    worse = _energy(w - scale * found, gram) > _energy(w - scale * nearest, gram)
    return _turns(w, scale, low, high, alive, gram, torch.where(worse[:, None], nearest, found))


def _energy(error: Tensor, gram: Tensor) -> Tensor:
    return (error @ gram * error).sum(1)


def _feedback(w: Tensor, scale: Tensor, low: Tensor, high: Tensor, alive: Tensor, gram: Tensor) -> Tensor:
    n = w.shape[1]
    damping = _DAMPING * gram.diagonal().mean()
    damped = gram + torch.eye(n, dtype=w.dtype, device=w.device) * torch.where(damping > 0, damping, 1.0)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    upper = torch.linalg.cholesky(inverse, upper=True)  # row j: how columns j.. answer to an error in column j
    left, levels = w.clone(), torch.zeros_like(w)
    for start in range(0, n, _LAZY):
        end = min(start + _LAZY, n)
        errors = torch.zeros_like(left[:, start:end])
        for j in range(start, end):
            levels[:, j] = nearest_level(left[:, j], scale[:, j], low[:, j], high[:, j]) * alive[:, j]
            error = (left[:, j] - scale[:, j] * levels[:, j]) / upper[j, j]
            left[:, j + 1 : end] -= error[:, None] * upper[j, j + 1 : end]
            errors[:, j - start] = error
        left[:, end:] -= errors @ upper[start:end, end:]
    return levels


# On correlated inputs (three layers of 576 to 2304 inputs) two turns lower the error by 11 % on the calibration data
# and by 2 % on others; eighteen more by another 2 % and not at all, at eight times the cost.
_TURNS: Final = 2


def _turns(w: Tensor, scale: Tensor, low: Tensor, high: Tensor, alive: Tensor, gram: Tensor, levels: Tensor) -> Tensor:
    """Coordinate descent: each level its best value with the others as they are, rows that gain nothing excepted."""
    levels = levels.clone()
    slope = (w - scale * levels) @ gram  # half the gradient of the energy, by entry of the error
    for _ in range(_TURNS):
        moved = False
        for j in range(w.shape[1]):
            if gram[j, j] <= 0:
                continue
            free = scale[:, j] * levels[:, j] + slope[:, j] / gram[j, j]  # where this weight would like to be
            best = nearest_level(free, scale[:, j], low[:, j], high[:, j]) * alive[:, j]
            step = scale[:, j] * (best - levels[:, j])
            gained = step * (2 * slope[:, j] - step * gram[j, j])  # fall of the energy
            step = torch.where(gained > 1e-12 * (slope[:, j].square() / gram[j, j]), step, 0.0)
            if bool(step.any()):
                moved = True
                levels[:, j] = torch.where(step != 0, best, levels[:, j])
                slope -= step[:, None] * gram[j]
        if not moved:
            break
    return levels
