"""Shortest paths through the cuts of a line: which orders of clusters there are, and what each way costs."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from condensa_core.schemes.line import Line, run_cost
from condensa_core.schemes.monge import row_minima
from condensa_core.schemes.ragged import apart


@dataclass(frozen=True)
class Arc:
    """A cluster from one station to another; a station is where a cut goes."""

    source: int
    target: int
    pinned: bool


@dataclass(frozen=True)
class Route:
    """The orders of clusters that are allowed: every path from station 0 to the last."""

    stations: int
    arcs: tuple[Arc, ...]

    @staticmethod
    def of(clusters: int, *, zero: bool) -> Route:
        """`clusters` in a row; with `zero`, one of them, whichever is best, pinned."""
        if not zero:
            return Route(clusters + 1, tuple(Arc(j, j + 1, False) for j in range(clusters)))
        # Station 2j comes after j clusters of which none is pinned, 2j - 1 after j of which one is.
        pinned = [Arc(2 * j, 2 * j + 1, True) for j in range(clusters)]
        before = [Arc(2 * j, 2 * j + 2, False) for j in range(clusters - 1)]
        after = [Arc(2 * j - 1, 2 * j + 1, False) for j in range(1, clusters)]
        return Route(2 * clusters, tuple(pinned + before + after))

    @cached_property
    def into(self) -> list[list[Arc]]:
        """Arcs by the station they end at."""
        return [[arc for arc in self.arcs if arc.target == station] for station in range(self.stations)]

    @cached_property
    def out_of(self) -> list[list[Arc]]:
        """Arcs by the station they begin at."""
        return [[arc for arc in self.arcs if arc.source == station] for station in range(self.stations)]

    @property
    def beside_pinned(self) -> tuple[list[int], list[int]]:
        """Stations that a pinned cluster may end at, and stations that it may begin at."""
        return [arc.target for arc in self.arcs if arc.pinned], [arc.source for arc in self.arcs if arc.pinned]


class Passage:
    """The ways along a route when the cut of each station is one of its `stops` (positions on the line, ascending).

    A stop may have a credit, which whoever cuts there gets back; first and last have none.
    """

    def __init__(self, line: Line, route: Route, stops: list[np.ndarray]) -> None:
        self._route, self._stops = route, stops
        self._sums = [line.sums[:, positions] for positions in stops]

    def by_station(self, inner: np.ndarray) -> list[np.ndarray]:
        """Numbers of the stops of inner stations, in one vector, apart; zero for the first and the last."""
        return [np.zeros(1), *apart(inner, [stops.size for stops in self._stops[1:-1]]), np.zeros(1)]

    def ahead(self, credits: list[np.ndarray] | None) -> list[np.ndarray]:
        """Least cost of getting to each stop of each station, its credit included."""
        costs = [np.zeros(1)]
        for station in range(1, self._route.stations):
            ways = [self._least(arc, costs[arc.source], arc.target) for arc in self._route.into[station]]
            cost = functools.reduce(np.minimum, ways)
            costs.append(cost if credits is None else cost - credits[station])
        return costs

    def behind(self, credits: list[np.ndarray]) -> list[np.ndarray]:
        """Least cost of getting from each stop of each station to the end, its own credit excluded."""
        costs = {self._route.stations - 1: np.zeros(1)}
        for station in reversed(range(self._route.stations - 1)):
            arcs = self._route.out_of[station]
            ways = [self._least(arc, costs[arc.target] - credits[arc.target], arc.source) for arc in arcs]
            costs[station] = functools.reduce(np.minimum, ways)
        return [costs[station] for station in range(self._route.stations)]

    def _least(self, arc: Arc, costs: np.ndarray, at: int) -> np.ndarray:
        """For each stop of station `at`, one end of the arc: least cost of the cluster, and `costs` at the other."""
        source, target, forwards = self._sums[arc.source], self._sums[arc.target], at == arc.target
        if not costs.size:
            return np.full(self._stops[at].size, np.inf)

        def entry(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            start, end = (columns, rows) if forwards else (rows, columns)
            cost = run_cost(source[:, start], target[:, end], pinned=arc.pinned)
            cost += costs[columns]
            return cost

        return row_minima(entry, self._stops[at].size, costs.size)[0]

    def path(self, ahead: list[np.ndarray]) -> tuple[np.ndarray, int]:
        """The cuts of a least way to the end, which `ahead` says to be finite, and its pinned cluster (-1: none)."""
        station, at = self._route.stations - 1, 0
        cuts, pinned = [self._stops[station][at]], []
        while station > 0:
            here = self._sums[station][:, at, None]
            ways = {
                arc: run_cost(self._sums[arc.source], here, pinned=arc.pinned) + ahead[arc.source]
                for arc in self._route.into[station]
                if ahead[arc.source].size
            }
            arc = min(ways, key=lambda way: float(ways[way].min()))
            station, at = arc.source, int(ways[arc].argmin())
            cuts.append(self._stops[station][at])
            pinned.append(arc.pinned)
        pinned.reverse()
        return np.array(cuts[::-1]), pinned.index(True) if True in pinned else -1
