"""The best clusters of points on a line: one-dimensional k-means, solved to its global optimum.

    min over cuts 0 = p_0 <= p_1 <= ... <= p_k = n of  sum_j cost(p_{j-1}, p_j),

optionally with the centre of one cluster, whichever is best, pinned at zero.

Dynamic programming over all n positions is exact but slow. Here it runs over a grid of them, and bounds say between
which grid points the cuts of an optimum can be; only there is the grid refined, down to single points. What is proven
at each refinement, with U the cost of the best clusters found so far:

An optimum has centres c_1 < ... < c_k and boundaries t_j = (c_j + c_{j+1}) / 2, between the points on both sides of
p_j. Let p_j lie strictly inside the block b = [lo, hi) of the grid. Move it to lo if t_j is at most the block's mean m,
else to hi; cuts stay in order. A point x that changes sides now costs 2 g_j |x - t_j| more, g_j = c_{j+1} - c_j. Those
that do lie in b, on the side of t_j away from m, so together they cost at most
    2 g_j sum_{x in b, x < m} w (m - x) = g_j A_b,   A_b = sum_{x in b} w |x - m|.
New means only lower the cost. Hence clusters exist that are cut at grid points r_j, with
    sum_j cost(r_{j-1}, r_j) - sum_j g_j A_b(j) <= optimum <= U,
and where no way through r_j is that cheap, by dynamic programming from both ends, no cut of an optimum is moved to.
A_b falls with the square of the block's width: a handful of blocks around each cut survives every refinement. A gap
g_j = 2 (t_j - c_j) = 2 (c_{j+1} - t_j) is bounded because t_j lies in the block, and a cluster reaches neither beyond
where the next cuts can be nor so far that alone it costs more than U.

Source: Carreira-Perpinan and Idelbayev, arXiv:1707.04319 (the C step of an adaptive code book); dynamic programming:
Wu and Rokne, "An O(KN log N) algorithm for optimum K-level quantization on histograms of N points", ACM SAC 1991.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from condensa_core.schemes.credits import credits_of, ends_of
from condensa_core.schemes.line import Line
from condensa_core.schemes.monge import DENSE
from condensa_core.schemes.ragged import concatenated
from condensa_core.schemes.routes import Passage, Route

_PAIRS: Final = 1 << 19  # clusters to look at in one pass over a grid, if a coarser one will do
_ROUNDING: Final = 1e-13  # of the energy: differences of cost that prefix sums do not tell
_POLISHES: Final = 40


@dataclass(frozen=True, eq=False)
class Clusters:
    """k runs of points, [cuts[j], cuts[j + 1]), of which `pinned` has its centre at zero (-1: none)."""

    cuts: Tensor
    pinned: int
    cost: float

    @staticmethod
    def cut(line: Line, cuts: Tensor, pinned: int) -> Clusters:
        """These runs with what they cost."""
        costs = line.cost(cuts[:-1], cuts[1:])
        if pinned >= 0:
            costs[pinned] = line.cost(cuts[pinned], cuts[pinned + 1], pinned=True)
        return Clusters(cuts, pinned, float(costs.sum()))

    def centres(self, line: Line) -> Tensor:
        """Weighted means; zero for the pinned one. An empty run has the point that follows it, or the last."""
        start, end = self.cuts[:-1], self.cuts[1:]
        first = start.clamp_max(len(line) - 1)
        last = torch.maximum(first, end - 1)
        means = line.mean(first, last + 1) + line.origin
        # A mean lies among its points, whatever rounding says: equal points are their own mean.
        means = torch.minimum(torch.maximum(means, line.x[first]), line.x[last])
        if self.pinned >= 0:
            means[self.pinned] = 0
        return means

    def polished(self, line: Line) -> Clusters:
        """Every point to its nearest centre, centres to their means, while that lowers the cost."""
        found = self
        for _ in range(_POLISHES):
            centres = found.centres(line)
            boundaries = (centres[1:] + centres[:-1]) / 2
            inner = torch.searchsorted(line.x, boundaries).cummax(0).values
            moved = Clusters.cut(line, torch.cat((found.cuts[:1], inner, found.cuts[-1:])), found.pinned)
            if not moved.cost < found.cost:
                break
            found = moved
        return found


def best_clusters(line: Line, clusters: int, *, zero: bool = False) -> Clusters:
    """At most `clusters` >= 1 clusters of least cost; with `zero`, one of them has its centre there.

    The line has more points than there are free clusters; with `zero` it is one about zero, and has more points other
    than zero than that. A global optimum up to 1e-13 of the line's energy. No start is needed, nothing is random.
    """
    route = Route.of(clusters, zero=zero)
    grid = _first_grid(line, clusters)
    # Blocks of the grid in which the cut of each inner station may lie.
    live = [torch.arange(grid.numel() - 1, device=grid.device)] * (route.stations - 2)
    passage = _passage(line, route, grid, live)
    best = Clusters.cut(line, *passage.path(passage.ahead(None))).polished(line)
    while True:
        enough = best.cost - _ROUNDING * line.energy
        credits = credits_of(line, route, grid, live, best.cost)
        ahead = passage.ahead(credits)
        if not ahead[-1] < enough:
            return best
        way = Clusters.cut(line, *passage.path(ahead)).polished(line)
        best = way if way.cost < best.cost else best
        if all(bool((grid[blocks + 1] - grid[blocks] == 1).all()) for blocks in live):
            return best
        behind = passage.behind(credits)
        live = [
            blocks[_at_an_end(blocks, gone + left < enough)]
            for blocks, gone, left in zip(live, ahead[1:-1], behind[1:-1], strict=True)
        ]
        grid, live = _refined(grid, live, route)
        passage = _passage(line, route, grid, live)


def _passage(line: Line, route: Route, grid: Tensor, live: list[Tensor]) -> Passage:
    """The ways that stop at ends of live blocks."""
    return Passage(line, route, [grid[:1], *(grid[ends_of(blocks)] for blocks in live), grid[-1:]])


def _first_grid(line: Line, clusters: int) -> Tensor:
    """All positions where that is affordable, else about eight a cluster: equal counts, and equal widths for tails."""
    n = len(line)
    size = max(128, 8 * clusters)
    if n <= size:
        return torch.arange(n + 1, device=line.x.device)
    shares = torch.linspace(0, 1, size // 2 + 1, dtype=torch.float64, device=line.x.device)
    by_count = (shares * n).long()
    by_width = torch.searchsorted(line.x, line.x[0] + shares * (line.x[-1] - line.x[0]))
    return torch.cat((by_count, by_width)).unique()


def _pairs(route: Route, counts: list[int]) -> int:
    """About how many clusters a pass looks at when stations have these numbers of stops."""
    total = 0
    for arc in route.arcs:
        pairs = counts[arc.source] * counts[arc.target]
        total += pairs if pairs <= DENSE else min(pairs, 32 * (counts[arc.source] + counts[arc.target]))
    return total


def _refined(grid: Tensor, live: list[Tensor], route: Route) -> tuple[Tensor, list[Tensor]]:
    """The grid of live blocks alone, each split into equal parts (single points at the least), and the new blocks."""
    counts = [1, *(blocks.numel() + 1 for blocks in live), 1]
    parts = 64
    while parts > 2 and _pairs(route, [parts * count for count in counts]) > _PAIRS:
        parts //= 2
    alive = torch.zeros(grid.numel() - 1, dtype=torch.bool, device=grid.device)
    for blocks in live:
        alive[blocks] = True
    starts, widths = grid[:-1][alive], grid.diff()[alive]
    steps = torch.arange(parts + 1, device=grid.device)
    finer = (starts[:, None] + widths[:, None] * steps // parts).unique()
    finer = torch.cat((grid[:1], finer, grid[-1:])).unique()
    place = torch.searchsorted(finer, grid)
    return finer, [concatenated(place[blocks], place[blocks + 1] - place[blocks])[0] for blocks in live]


def _at_an_end(blocks: Tensor, of_ends: Tensor) -> Tensor:
    """For each block, whether something is true of one of its ends, given for those of `ends_of(blocks)`."""
    ends = ends_of(blocks)
    return of_ends[torch.searchsorted(ends, blocks)] | of_ends[torch.searchsorted(ends, blocks + 1)]
