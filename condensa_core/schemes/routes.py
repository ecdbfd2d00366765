"""Shortest paths through the cuts of a line: which orders of clusters there are, and what each way costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from condensa_core.schemes.line import Line, run_cost
from condensa_core.schemes.monge import row_minima


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

    def __init__(self, line: Line, route: Route, stops: list[Tensor]) -> None:
        self._line, self._route, self.stops = line, route, stops
        self._sums = [line.sums[:, positions] for positions in stops]

    def by_station(self, inner: Tensor) -> list[Tensor]:
        """Numbers of the stops of inner stations, in one vector, apart; zero for the first and the last."""
        nothing = inner.new_zeros(1)
        return [nothing, *inner.split([stops.numel() for stops in self.stops[1:-1]]), nothing]

    def ahead(self, credits: list[Tensor] | None) -> list[Tensor]:
        """Least cost of getting to each stop of each station, its credit included."""
        costs = [self._line.x.new_zeros(1)]
        for station in range(1, self._route.stations):
            cost = self._line.x.new_full((self.stops[station].numel(),), torch.inf)
            for arc in self._route.into[station]:
                cost = torch.minimum(cost, self._least(arc, costs[arc.source], arc.target))
            costs.append(cost if credits is None else cost - credits[station])
        return costs

    def behind(self, credits: list[Tensor]) -> list[Tensor]:
        """Least cost of getting from each stop of each station to the end, its own credit excluded."""
        costs = [self._line.x.new_zeros(1)]
        for station in reversed(range(self._route.stations - 1)):
            cost = self._line.x.new_full((self.stops[station].numel(),), torch.inf)
            for arc in self._route.out_of[station]:
                onwards = costs[self._route.stations - 1 - arc.target] - credits[arc.target]
                cost = torch.minimum(cost, self._least(arc, onwards, arc.source))
            costs.append(cost)
        return costs[::-1]

    def _least(self, arc: Arc, costs: Tensor, at: int) -> Tensor:
        """For each stop of station `at`, one end of the arc: least cost of the cluster and of what `costs` at its other
        end."""
        source, target = self._sums[arc.source], self._sums[arc.target]
        if not costs.numel():
            return costs.new_full((self.stops[at].numel(),), torch.inf)

        def entry(rows: Tensor, columns: Tensor) -> Tensor:
            start, end = (
                (source[:, columns], target[:, rows]) if at == arc.target else (source[:, rows], target[:, columns])
            )
            return run_cost(start, end, pinned=arc.pinned).add_(costs[columns])

        return row_minima(entry, self.stops[at].numel(), costs.numel(), costs.device)[0]

    def path(self, ahead: list[Tensor]) -> tuple[Tensor, int]:
        """The cuts of a least way to the end, which `ahead` says to be finite, and its pinned cluster (-1: none)."""
        station, at = self._route.stations - 1, 0
        cuts, pinned = [self.stops[station][at]], []
        while station > 0:
            here = self._sums[station][:, at, None]
            ways = {
                arc: run_cost(self._sums[arc.source], here, pinned=arc.pinned).add_(ahead[arc.source])
                for arc in self._route.into[station]
                if ahead[arc.source].numel()
            }
            arc = min(ways, key=lambda way: float(ways[way].min()))
            station, at = arc.source, int(ways[arc].argmin())
            cuts.append(self.stops[station][at])
            pinned.append(arc.pinned)
        pinned.reverse()
        return torch.stack(cuts[::-1]), pinned.index(True) if True in pinned else -1
