"""Ranges of different lengths, side by side in one vector."""

from __future__ import annotations

import torch
from torch import Tensor


def concatenated(starts: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
    """The integers of [starts_g, starts_g + widths_g) for g = 0, 1, ..., and the g of each."""
    group = torch.arange(widths.numel(), device=widths.device).repeat_interleave(widths)
    before = widths.cumsum(0) - widths
    return torch.arange(group.numel(), device=widths.device) + (starts - before)[group], group
