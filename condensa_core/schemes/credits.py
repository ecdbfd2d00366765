"""What moving a cut to an end of its block may cost at most: the g A of the proof in `clusters`."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from condensa_core.schemes.cut_blocks import CutBlocks
from condensa_core.schemes.line import Line, run_cost
from condensa_core.schemes.routes import Route

_MANY: Final = 64  # stations for which the reach of clusters is worth its time (measured: a third off at 256)


def credits_of(line: Line, route: Route, blocks: CutBlocks, limit: float) -> Tensor:
    """The most that g A can be at each of the `blocks.ends`.

    True of any optimum that has its cuts in these blocks and costs at most `limit`. Zero beside single points.
    """
    start, end = blocks.start, blocks.end
    first, last = line.x[start] - line.origin, line.x[end - 1] - line.origin
    begin, finish = (limits[blocks.station] for limits in _limits(route, blocks, len(line)))
    if route.stations > _MANY:
        earliest, latest = _reach(line, blocks.grid, limit)
        begin, finish = begin.maximum(earliest[blocks.place]), finish.minimum(latest[blocks.place + 1])
    left, right = _least_centre(line, begin, start, end), _greatest_centre(line, start, end, finish)
    # A cluster that is pinned has its centre at zero.
    into, out_of = (blocks.station.new_tensor(stations) for stations in route.beside_pinned)
    left = torch.where(torch.isin(blocks.station, into), left.clamp_max(0), left)
    right = torch.where(torch.isin(blocks.station, out_of), right.clamp_min(0), right)
    return blocks.at_ends(2 * (last - left).minimum(right - first).clamp_min(0) * _spread(line, start, end))


def _limits(route: Route, blocks: CutBlocks, points: int) -> tuple[Tensor, Tensor]:
    """By station, the first position where the cluster before its cut can begin, the last where the next can end."""
    leftmost = blocks.grid.new_full((route.stations,), points).scatter_reduce_(0, blocks.station, blocks.start, "amin")
    rightmost = blocks.grid.new_zeros(route.stations).scatter_reduce_(0, blocks.station, blocks.end, "amax")
    leftmost[0], rightmost[-1] = 0, points
    source, target = (
        blocks.grid.new_tensor(ends) for ends in zip(*((a.source, a.target) for a in route.arcs), strict=True)
    )
    begin = torch.full_like(leftmost, points).scatter_reduce_(0, target, leftmost[source], "amin")
    finish = torch.zeros_like(rightmost).scatter_reduce_(0, source, rightmost[target], "amax")
    return begin, finish


def _spread(line: Line, start: Tensor, end: Tensor) -> Tensor:
    """A = sum w |x - m| of each block about its mean."""
    mean = line.mean(start, end)
    middle = torch.searchsorted(line.x, mean + line.origin).maximum(start).minimum(end)
    below = line.sums[:2, middle] - line.sums[:2, start]
    return (2 * (below[0] * mean - below[1])).clamp_min(0).masked_fill(end - start == 1, 0)


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
