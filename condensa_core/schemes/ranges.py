"""How far the grid of a block of weights reaches."""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor

from condensa_core.schemes.affine import Grid, Steps, steps_between
from condensa_core.schemes.scale_search import least_squares_steps

Range = Literal["max", "percentile", "mse"]


def steps_for(
    blocks: Tensor, weights: Tensor, alive: Tensor, grid: Grid, range_rule: Range, percentile: float
) -> Steps:
    """The grid of each row of `blocks` (blocks x length, float64; zero where not `alive`) by one of three rules.

    max: it reaches the extreme weights. percentile: it reaches at least `percentile` % of the living weights (the least
    magnitude that does; without symmetry at most half of the rest lies beyond either end); where those are all zero, it
    reaches the extreme ones. mse: its squared error is least, each weight counted by `weights`.
    """
    if blocks.numel() == 0:
        nothing = blocks.new_zeros(blocks.shape[0])
        return steps_between(nothing, nothing, grid)
    if range_rule == "mse":
        return least_squares_steps(blocks, weights * alive, grid)
    least, greatest = blocks.amin(1), blocks.amax(1)
    if range_rule == "percentile":
        beyond = (alive.sum(1) * (100 - percentile) / 100 + _ROUNDING).floor().long()
        if grid.symmetric:
            high = _reach(blocks.abs(), beyond)
            low = -high
        else:
            low, high = -_reach(-blocks, beyond // 2), _reach(blocks, beyond // 2)
        within = (low < 0) | (high > 0)
        least, greatest = torch.where(within, low, least), torch.where(within, high, greatest)
    return steps_between(least, greatest, grid)


_ROUNDING: Final = 1e-9  # 0.01 % of 10,000 is one weight, whatever the product in binary


def _reach(blocks: Tensor, beyond: Tensor) -> Tensor:
    """The largest entry of each row after the `beyond` largest, at least 0; what is not alive is 0 and stays behind."""
    if not bool(beyond.any()):
        return blocks.amax(1).clamp(min=0)
    ranked = blocks.sort(dim=1, descending=True).values
    return ranked.gather(1, beyond.clamp(max=blocks.shape[1] - 1)[:, None])[:, 0].clamp(min=0)
