"""The best clusters of numbers: one-dimensional k-means, solved to its global optimum.

    min over cuts 0 = p_0 <= p_1 <= ... <= p_k = n of  sum_j cost(p_{j-1}, p_j),

optionally with the centre of one cluster, whichever is best, pinned at zero.

Dynamic programming over all n positions is exact but slow. Here it runs over a grid of them, and bounds say between
which grid points the cuts of an optimum can be; only there is the grid refined, first to buckets, then to single
numbers. What is proven at each refinement, with U the cost of the best clusters found so far:

An optimum has centres c_1 < ... < c_k and boundaries t_j = (c_j + c_{j+1}) / 2, between the points on both sides of
p_j. Let p_j lie strictly inside the block b = [lo, hi) of the grid. Move it to lo if t_j is at most the block's mean m,
else to hi; cuts stay in order. A point x that changes sides now costs 2 g_j |x - t_j| more, g_j = c_{j+1} - c_j. Those
that do lie in b, on the side of t_j away from m, so together they cost at most
    2 g_j sum_{x in b, x < m} w (m - x) = g_j sum_{x in b} w |x - m| <= g_j A_b,   A_b^2 = sum_b w * sum_b w (x - m)^2.
New means only lower the cost. Hence clusters exist that are cut at grid points r_j, with
    sum_j cost(r_{j-1}, r_j) - sum_j g_j A_b(j) <= optimum <= U,
and where no way through r_j is that cheap, by dynamic programming from both ends, no cut of an optimum is moved to.
A_b falls with the square of the block's width: a handful of blocks around each cut survives every refinement. A gap
g_j = 2 (t_j - c_j) = 2 (c_{j+1} - t_j) is bounded because t_j lies in the block, and a cluster reaches neither beyond
where the next cuts can be nor so far that splitting it saves more than it may. That is at most U; without a pinned
cluster, where the least cost C(k) is convex in the number of clusters, at most C(k) - C(k+1) <= (C(i) - C(k)) / (k - i)
for every i < k, of which grids of earlier refinements bound both terms.

The search runs on the host over a few thousand sums; numbers themselves are read where they are (`buckets`).
Source: Carreira-Perpinan and Idelbayev, arXiv:1707.04319 (the C step of an adaptive code book); dynamic programming:
Wu and Rokne, "An O(KN log N) algorithm for optimum K-level quantization on histograms of N points", ACM SAC 1991;
convexity: Aggarwal, Schieber and Tokuyama, "Finding a minimum-weight k-link path in graphs with the concave Monge
property and applications", Discrete and Computational Geometry 12 (1994).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from condensa_core.schemes.buckets import Atoms, Buckets
from condensa_core.schemes.credits import credits_of
from condensa_core.schemes.cut_blocks import CutBlocks
from condensa_core.schemes.halves import best_halves
from condensa_core.schemes.line import Line
from condensa_core.schemes.monge import DENSE
from condensa_core.schemes.ragged import distinct
from condensa_core.schemes.routes import Passage, Route

_PAIRS: Final = 1 << 18  # clusters to look at in one pass over a grid, if a coarser one will do
_MOST_PARTS: Final = 1024


@dataclass(frozen=True, eq=False)
class Clusters:
    """k runs of a line, [cuts[j], cuts[j + 1]), of which `pinned` has its centre at zero (-1: none)."""

    line: Line
    cuts: np.ndarray
    pinned: int

    @cached_property
    def cost(self) -> float:
        """Weighted squared distances to the centres."""
        start, end = self.cuts[:-1], self.cuts[1:]
        costs = self.line.cost(start, end)
        if self.pinned >= 0:
            costs[self.pinned] = self.line.cost(start, end, pinned=True)[self.pinned]
        return float(costs.sum())

    def centres(self, numbers: Buckets) -> np.ndarray:
        """Weighted means in ascending order, zero for the pinned one; none for empty runs."""
        start, end = self.cuts[:-1], self.cuts[1:]
        some = end > start
        first, last = start[some], end[some] - 1
        atoms = self.line.atoms
        lowest, highest = atoms.low[first], atoms.high[last]
        alone = (first == last) & atoms.divisible[first]
        if alone.any():
            buckets = atoms.bucket[first[alone]]
            points = numbers.points(buckets)
            lowest[alone] = points.low[np.searchsorted(points.bucket, buckets)]
            highest[alone] = points.high[np.searchsorted(points.bucket, buckets, side="right") - 1]
        # A mean lies among its points, whatever rounding says: equal points are their own mean.
        means = np.clip(self.line.means_between(first) + self.line.origin, lowest, highest)
        if self.pinned >= 0:
            before = some[: self.pinned].sum()
            means = np.concatenate((means[:before], [0], means[before + some[self.pinned] :]))
        return means

    def polished(self, rounds: int) -> Clusters:
        """Every point to its nearest centre and centres to their means, while something moves and for some rounds."""
        cuts, middles = self.cuts, (self.line.atoms.low + self.line.atoms.high) / 2 - self.line.origin
        for _ in range(rounds):
            run = np.diff(self.line.sums[:2, cuts])
            if not run[0].all() and not (self.pinned >= 0 and np.delete(run[0], self.pinned).all()):
                break  # an empty run has no mean
            means = run[1] / np.where(run[0] > 0, run[0], 1)
            if self.pinned >= 0:
                means[self.pinned] = 0
            inner = np.maximum.accumulate(np.searchsorted(middles, (means[1:] + means[:-1]) / 2))
            if np.array_equal(inner, cuts[1:-1]):
                break
            cuts = np.concatenate((cuts[:1], inner, cuts[-1:]))
        return min(self, Clusters(self.line, cuts, self.pinned), key=lambda found: found.cost)


def best_centres(numbers: Buckets, clusters: int, *, zero: bool = False) -> np.ndarray:
    """At most `clusters` >= 1 centres to which the numbers are nearest, ascending; with `zero`, one of them is zero.

    Minimises sum w_i min_j (x_i - c_j)^2 globally, up to 1e-13 of sum w x^2 about the mean (about zero with `zero`). No
    start is needed, nothing is random. Numbers with weight of no more values than that are centres themselves. Two
    clusters without a pinned zero have one cut and need no search (`halves`). Where there is a search, costs of runs
    are differences of sums and err by some 1e-16 of sum w times the largest x^2: a metric under which numbers of by far
    the largest size weigh next to nothing may cost more.
    """
    halved = clusters == 2 and not zero
    atoms = numbers.atoms(squares=not halved)
    if _values(atoms, zero) <= clusters:
        atoms = atoms.with_points(numbers.points(atoms.bucket[atoms.divisible]))
        if _values(atoms, zero) <= clusters:
            return np.union1d(atoms.about, np.zeros(int(zero)))
    if halved:
        line, cut = best_halves(numbers, atoms)
        return Clusters(line, np.array([0, cut, len(line)]), -1).centres(numbers)
    return _search(numbers, Line.of(atoms, about_zero=zero), Route.of(clusters, zero=zero), clusters).centres(numbers)


def _values(atoms: Atoms, zero: bool) -> int:
    """How many values there are, each group counted as one, and zero if it has to be among them."""
    return len(atoms) + int(zero and not (atoms.about[~atoms.divisible] == 0).any())


def _search(numbers: Buckets, line: Line, route: Route, clusters: int) -> Clusters:
    blocks = CutBlocks.everywhere(_first_grid(line, route, clusters), route.stations)
    passage = Passage(line, route, blocks.stops(route.stations))
    ahead = passage.ahead(None)
    fewer, lower = (
        np.array([float(costs[-1]) for costs in ahead[1:-1]]),
        0.0,
    )  # of 1, 2, ... clusters, if none is pinned
    best = Clusters(line, *passage.path(ahead)).polished(40)
    while True:
        enough = best.cost - line.rounding
        saved = best.cost if best.pinned >= 0 else most_saved(fewer, lower, best.cost) + line.rounding
        credits = passage.by_station(credits_of(line, route, blocks, saved))
        ahead = passage.ahead(credits)
        lower = max(lower, float(ahead[-1][0]))
        if not ahead[-1] < enough:
            return best
        best = min(best, Clusters(line, *passage.path(ahead)).polished(8), key=lambda found: found.cost)
        single = bool((blocks.end - blocks.start == 1).all())
        if single and not line.atoms.divisible[blocks.start].any():
            return best
        through = np.concatenate([gone + left for gone, left in zip(ahead, passage.behind(credits), strict=True)][1:-1])
        blocks = blocks.where(through < enough)
        if single:
            line, blocks = _opened(numbers, line, blocks)
        blocks = blocks.split(_parts(route, [1, *blocks.counts(route.stations), 1]))
        passage = Passage(line, route, blocks.stops(route.stations))


def most_saved(fewer: np.ndarray, lower: float, upper: float) -> float:
    """What splitting a cluster of the optimum can save at most, if it costs at least `lower` and at most `upper`, and
    1, 2, ..., k - 1 clusters cost at most `fewer`."""
    return float(np.min((fewer - lower) / np.arange(fewer.size, 0, -1), initial=upper))


def _first_grid(line: Line, route: Route, clusters: int) -> np.ndarray:
    """All positions if that is cheap, else about eight a cluster: of equal mass, and of equal width for tails."""
    size = max(128, 8 * clusters)
    if len(line) <= size or _looks(route, [1, *[len(line)] * (route.stations - 2), 1]) <= _PAIRS:
        return np.arange(len(line) + 1)
    shares = np.linspace(0, 1, size // 2 + 1)
    by_mass = np.searchsorted(line.sums[0], shares * line.sums[0, -1])
    low, high = line.atoms.low, line.atoms.high
    by_width = np.searchsorted(low, low[0] + shares * (high[-1] - low[0]))
    return distinct(np.concatenate(([0], np.minimum(by_mass, len(line)), by_width, [len(line)])))


def _opened(numbers: Buckets, line: Line, blocks: CutBlocks) -> tuple[Line, CutBlocks]:
    """The line with points in the place of the groups that are blocks, and the blocks there."""
    old = line.atoms.bucket
    groups = distinct(blocks.start)
    points = numbers.points(old[groups[line.atoms.divisible[groups]]])
    opened = Line.of(line.atoms.with_points(points), about_zero=line.origin == 0)
    return opened, blocks.on(np.append(np.searchsorted(opened.atoms.bucket, old), len(opened)))


def _parts(route: Route, counts: list[int]) -> int:
    """Into how many parts blocks are split next: as many as keep a pass over their ends cheap."""
    parts = _MOST_PARTS
    while parts > 2 and _looks(route, [parts * count for count in counts]) > _PAIRS:
        parts //= 2
    return parts


def _looks(route: Route, counts: list[int]) -> int:
    """About how many clusters a pass looks at when stations have so many stops."""
    ends = ((counts[arc.source], counts[arc.target]) for arc in route.arcs)
    return sum(min(sources * targets, DENSE + 32 * (sources + targets)) for sources, targets in ends)
