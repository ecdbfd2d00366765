"""What moving a cut to an end of its block may cost at most: the g A of the proof in `clusters`."""

from __future__ import annotations

import torch
from torch import Tensor

from condensa_core.schemes.line import Line, run_cost
from condensa_core.schemes.routes import Route


def ends_of(blocks: Tensor) -> Tensor:
    """Grid points at the ends of blocks, ascending; block b is from point b to b + 1."""
    return torch.cat((blocks, blocks + 1)).unique()


def credits_of(line: Line, route: Route, grid: Tensor, live: list[Tensor], limit: float) -> list[Tensor]:
    """For each station, the most that g A can be at each end of its live blocks; nothing for the first and the last.

    True of any optimum whose cuts lie in the `live` blocks (those of each inner station) and which costs at most
    `limit`. Zero beside single points.
    """
    nothing = line.x.new_zeros(1)
    low, high = grid[:-1], grid[1:]
    spread = _spread(line, low, high)
    earliest, latest = _reach(line, grid, limit)
    # Where the cut of a station can be at all.
    leftmost = [grid[0], *(grid[blocks.min()] if blocks.numel() else grid[-1] for blocks in live), grid[-1]]
    rightmost = [grid[0], *(grid[blocks.max() + 1] if blocks.numel() else grid[0] for blocks in live), grid[-1]]
    credits = [nothing]
    for station, blocks in enumerate(live, 1):
        into, out_of = route.into[station], route.out_of[station]
        start, end = low[blocks], high[blocks]
        begin = earliest[blocks].maximum(torch.stack([leftmost[arc.source] for arc in into]).min())
        finish = latest[blocks + 1].minimum(torch.stack([rightmost[arc.target] for arc in out_of]).max())
        left, right = _least_centre(line, begin, start, end), _greatest_centre(line, start, end, finish)
        if any(arc.pinned for arc in into):
            left = left.clamp_max(0)
        if any(arc.pinned for arc in out_of):
            right = right.clamp_min(0)
        first, last = line.x[start] - line.origin, line.x[end - 1] - line.origin
        cost = spread[blocks] * 2 * (last - left).minimum(right - first).clamp_min(0)
        at_low, at_high = line.x.new_zeros(2, grid.numel())
        at_low[blocks], at_high[blocks + 1] = cost, cost
        credits.append(at_low.maximum(at_high)[ends_of(blocks)])
    return [*credits, nothing]


def _spread(line: Line, low: Tensor, high: Tensor) -> Tensor:
    """A = sum w |x - m| of each block about its mean."""
    mean = line.mean(low, high)
    middle = torch.searchsorted(line.x, mean + line.origin).maximum(low).minimum(high)
    below = line.sums[:2, middle] - line.sums[:2, low]
    return (2 * (below[0] * mean - below[1])).clamp_min(0).masked_fill(high - low == 1, 0)


def _least_centre(line: Line, begin: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Below no centre of a cluster that begins at `begin` or later and ends within the block [start, end)."""
    whole = begin < start
    mean = line.mean(begin.minimum(end - 1), torch.where(whole, start, end))
    return torch.where(whole, mean, line.x[begin.minimum(end - 1)] - line.origin)


def _greatest_centre(line: Line, start: Tensor, end: Tensor, finish: Tensor) -> Tensor:
    """Above no centre of a cluster that begins within the block [start, end) and ends at `finish` or earlier."""
    whole = finish > end
    mean = line.mean(torch.where(whole, end, start), finish.maximum(start + 1))
    return torch.where(whole, mean, line.x[(finish - 1).maximum(start)] - line.origin)


def _reach(line: Line, grid: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Before which position no cluster begins that holds what lies up to each grid position from there, and after which
    none ends that holds what follows, if it costs at most `limit`."""
    # Bisection over the grid between what is near enough and what is too far, or not there.
    size = grid.numel()
    near = here = torch.arange(size, device=grid.device)
    beyond = torch.full_like(here, -1)
    far, outside = here, torch.full_like(here, size)
    sums = line.sums[:, grid]
    for _ in range(size.bit_length()):
        middle = (near + beyond + 1) >> 1
        fits = run_cost(sums[:, middle], sums, pinned=False) <= limit
        near, beyond = torch.where(fits, middle, near), torch.where(fits, beyond, middle)
        middle = (far + outside) >> 1
        fits = run_cost(sums, sums[:, middle], pinned=False) <= limit
        far, outside = torch.where(fits, middle, far), torch.where(fits, outside, middle)
    return grid[beyond.clamp_min(0)], grid[outside.clamp_max(size - 1)]
