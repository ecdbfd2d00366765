"""What moving a cut to an end of its block may cost at most: the g A of the proof in `clusters`."""

from __future__ import annotations

from typing import Final

import numpy as np

from condensa_core.schemes.cut_blocks import CutBlocks
from condensa_core.schemes.line import Line, run_cost
from condensa_core.schemes.routes import Route

_MANY: Final = 64  # stations for which the reach of clusters is worth its time (measured: a third off at 256)


def credits_of(line: Line, route: Route, blocks: CutBlocks, saved: float) -> np.ndarray:
    """The most that g A can be at each of the `blocks.ends`.

    True of any optimum that has its cuts in these blocks and no cluster that saves more than `saved` when it is split.
    Zero beside points.
    """
    start, end = blocks.start, blocks.end
    first, last = line.atoms.low[start] - line.origin, line.atoms.high[end - 1] - line.origin
    begin, finish = (limits[blocks.station] for limits in _limits(route, blocks, len(line)))
    if route.stations > _MANY:
        earliest, latest = reach(line, blocks.grid, saved)
        begin, finish = np.maximum(begin, earliest[blocks.place]), np.minimum(finish, latest[blocks.place + 1])
    left, right = _least_centre(line, begin, start, end), _greatest_centre(line, start, end, finish)
    # A cluster that is pinned has its centre at zero.
    into, out_of = route.beside_pinned
    left = np.where(np.isin(blocks.station, into), np.minimum(left, 0), left)
    right = np.where(np.isin(blocks.station, out_of), np.maximum(right, 0), right)
    gap = 2 * np.maximum(np.minimum(last - left, right - first), 0)
    mass = line.sums[0, end] - line.sums[0, start]
    # sum w |x - m| is at most half the weight times the width, too, which is zero for a point whatever rounding says.
    spread = np.minimum(np.sqrt(mass * (line.cost(start, end) + line.rounding)), mass * (last - first) / 2)
    return blocks.at_ends(gap * spread)


def _limits(route: Route, blocks: CutBlocks, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """By station, the first position where the cluster before its cut can begin, the last where the next can end."""
    leftmost, rightmost = np.full(route.stations, positions), np.zeros(route.stations, dtype=np.intp)
    np.minimum.at(leftmost, blocks.station, blocks.start)
    np.maximum.at(rightmost, blocks.station, blocks.end)
    leftmost[0], rightmost[-1] = 0, positions
    source, target = np.array([(arc.source, arc.target) for arc in route.arcs]).T
    begin, finish = np.full_like(leftmost, positions), np.zeros_like(rightmost)
    np.minimum.at(begin, target, leftmost[source])
    np.maximum.at(finish, source, rightmost[target])
    return begin, finish


def _least_centre(line: Line, begin: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Below no centre of a cluster that begins at `begin` or later and ends within the block [start, end)."""
    whole = begin < start
    first = np.minimum(begin, end - 1)
    mean = line.mean(first, np.where(whole, start, end))
    return np.where(whole, np.fmax(mean, line.atoms.low[first] - line.origin), line.atoms.low[first] - line.origin)


def _greatest_centre(line: Line, start: np.ndarray, end: np.ndarray, finish: np.ndarray) -> np.ndarray:
    """Above no centre of a cluster that begins within the block [start, end) and ends at `finish` or earlier."""
    whole = finish > end
    last = np.maximum(finish - 1, start)
    mean = line.mean(np.where(whole, end, start), last + 1)
    return np.where(whole, np.fmin(mean, line.atoms.high[last] - line.origin), line.atoms.high[last] - line.origin)


def reach(line: Line, grid: np.ndarray, saved: float) -> tuple[np.ndarray, np.ndarray]:
    """Before which position no cluster begins that holds what lies up to each grid position from there, and after which
    none ends that holds what follows, if splitting it saves at most `saved`.

    What splitting saves grows with the cluster (the costs have the Monge property), so one place to split is enough to
    tell that a cluster is too long: that nearest to its mean.
    """
    sums, lows = line.sums[:, grid], line.atoms.low[np.minimum(grid, len(line) - 1)] - line.origin

    def fits(first: np.ndarray, last: np.ndarray) -> np.ndarray:
        mass, moment = sums[:2, last] - sums[:2, first]
        middle = np.searchsorted(lows, moment / np.where(mass > 0, mass, 1)).clip(first, last)
        whole, left, right = ((first, last), (first, middle), (middle, last))
        cost = [run_cost(sums[:, start], sums[:, end], pinned=False) for start, end in (whole, left, right)]
        return cost[0] - cost[1] - cost[2] <= saved

    # Bisection over the grid between what is near enough and what is too far, or not there.
    here = np.arange(grid.size)
    near, beyond, far, outside = here, np.full_like(here, -1), here, np.full_like(here, grid.size)
    for _ in range(grid.size.bit_length()):
        middle = (near + beyond + 1) >> 1
        enough = fits(middle, here)
        near, beyond = np.where(enough, middle, near), np.where(enough, beyond, middle)
        middle = (far + outside) >> 1
        enough = fits(here, middle)
        far, outside = np.where(enough, middle, far), np.where(enough, outside, middle)
    return grid[np.maximum(beyond, 0)], grid[np.minimum(outside, grid.size - 1)]
