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

from condensa_core.schemes.credits import credits_of
from condensa_core.schemes.cut_blocks import CutBlocks
from condensa_core.schemes.line import Line
from condensa_core.schemes.monge import DENSE
from condensa_core.schemes.routes import Passage, Route

_PAIRS: Final = 1 << 18  # clusters to look at in one pass over a grid, if a coarser one will do
_ROUNDING: Final = 1e-13  # of the energy: differences of cost that prefix sums do not tell
_MOST_PARTS: Final = 64


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

    def polished(self, line: Line, rounds: int) -> Clusters:
        """Every point to its nearest centre and centres to their means, while something moves and for some rounds."""
        cuts = self.cuts
        for _ in range(rounds):
            run = line.sums[:2, cuts].diff()
            means = run[1] / run[0]
            if self.pinned >= 0:
                means[self.pinned] = 0
            inner = torch.searchsorted(line.x, (means[1:] + means[:-1]) / 2 + line.origin).cummax(0).values
            if torch.equal(inner, cuts[1:-1]) or bool(means.isnan().any()):  # settled, or a run is empty
                break
            cuts = torch.cat((cuts[:1], inner, cuts[-1:]))
        moved = Clusters.cut(line, cuts, self.pinned)
        return moved if moved.cost < self.cost else self


def best_clusters(line: Line, clusters: int, *, zero: bool = False) -> Clusters:
    """At most `clusters` >= 1 clusters of least cost; with `zero`, one of them has its centre there.

    The line has more points than there are free clusters; with `zero` it is one about zero, and has more points other
    than zero than that. A global optimum up to 1e-13 of the line's energy. No start is needed, nothing is random.
    """
    route = Route.of(clusters, zero=zero)
    blocks = CutBlocks.everywhere(_first_grid(line, clusters), route.stations)
    passage = Passage(line, route, blocks.stops(route.stations))
    best = Clusters.cut(line, *passage.path(passage.ahead(None))).polished(line, 40)
    while True:
        enough = best.cost - _ROUNDING * line.energy
        credits = passage.by_station(credits_of(line, route, blocks, best.cost))
        ahead = passage.ahead(credits)
        if not ahead[-1] < enough:
            return best
        way = Clusters.cut(line, *passage.path(ahead)).polished(line, 8)
        best = way if way.cost < best.cost else best
        if blocks.single:
            return best
        through = torch.cat([gone + left for gone, left in zip(ahead, passage.behind(credits), strict=True)][1:-1])
        blocks = blocks.where(through < enough)
        blocks = blocks.split(_parts(route, blocks.counts(route.stations)))
        passage = Passage(line, route, blocks.stops(route.stations))


def _first_grid(line: Line, clusters: int) -> Tensor:
    """All positions if there are few, else about eight a cluster: of equal counts, and of equal widths for tails."""
    n, size = len(line), max(128, 8 * clusters)
    if n <= size:
        return torch.arange(n + 1, device=line.x.device)
    shares = torch.linspace(0, 1, size // 2 + 1, dtype=torch.float64, device=line.x.device)
    by_count = (shares * n).long()
    by_width = torch.searchsorted(line.x, line.x[0] + shares * (line.x[-1] - line.x[0]))
    return torch.cat((by_count, by_width)).unique()


def _parts(route: Route, counts: list[int]) -> int:
    """Into how many parts blocks are split next, as many as keep a pass over their ends cheap."""
    parts = _MOST_PARTS
    while parts > 2 and sum(_pairs(parts * counts[a.source], parts * counts[a.target]) for a in route.arcs) > _PAIRS:
        parts //= 2
    return parts


def _pairs(sources: int, targets: int) -> int:
    """About how many clusters between so many stops are looked at."""
    return min(sources * targets, DENSE + 32 * (sources + targets))
