"""Where the cuts between clusters may still lie, while a search closes in on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from condensa_core.schemes.ragged import apart, concatenated, distinct


@dataclass(frozen=True, eq=False)
class CutBlocks:
    """Blocks of a grid, for each station of a route those that its cut may lie in; in order of station, then place."""

    grid: np.ndarray  # positions on the line, ascending, the first 0 and the last m
    station: np.ndarray
    place: np.ndarray  # the block goes from grid[place] to grid[place + 1]

    @staticmethod
    def everywhere(grid: np.ndarray, stations: int) -> CutBlocks:
        """All blocks for every station but the first and the last, whose cuts are 0 and m."""
        blocks = grid.size - 1
        return CutBlocks(grid, np.arange(1, stations - 1).repeat(blocks), np.tile(np.arange(blocks), stations - 2))

    @cached_property
    def start(self) -> np.ndarray:
        """Positions on the line where blocks start."""
        return self.grid[self.place]

    @cached_property
    def end(self) -> np.ndarray:
        """Positions on the line where blocks end."""
        return self.grid[self.place + 1]

    @cached_property
    def _keys(self) -> np.ndarray:
        return self.station * self.grid.size + self.place

    @cached_property
    def ends(self) -> np.ndarray:
        """Both ends of all blocks, each once a station: station * len(grid) + place on the grid, ascending."""
        return distinct(np.concatenate((self._keys, self._keys + 1)))

    @cached_property
    def _at(self) -> tuple[np.ndarray, np.ndarray]:
        return np.searchsorted(self.ends, self._keys), np.searchsorted(self.ends, self._keys + 1)

    def counts(self, stations: int) -> list[int]:
        """How many of the ends each inner station has."""
        return np.bincount(self.ends // self.grid.size, minlength=stations)[1 : stations - 1].tolist()

    def stops(self, stations: int) -> list[np.ndarray]:
        """Positions of the ends by station; those of the first and the last are 0 and m."""
        inner = apart(self.grid[self.ends % self.grid.size], self.counts(stations))
        return [self.grid[:1], *inner, self.grid[-1:]]

    def at_ends(self, amounts: np.ndarray) -> np.ndarray:
        """For each of `ends`, the larger of the `amounts` of the one or two blocks that it ends."""
        low, high = self._at
        sides = np.zeros((2, self.ends.size))
        sides[0, low], sides[1, high] = amounts, amounts
        return sides.max(0)

    def where(self, possible: np.ndarray) -> CutBlocks:
        """The blocks of which one of the `ends` is possible."""
        low, high = self._at
        kept = possible[low] | possible[high]
        return replace(self, station=self.station[kept], place=self.place[kept])

    def on(self, positions: np.ndarray) -> CutBlocks:
        """The same blocks on a line where what was position p is `positions[p]`."""
        return replace(self, grid=positions[self.grid])

    def split(self, parts: int) -> CutBlocks:
        """The blocks in `parts` equal parts, or single groups, on a grid of their ends alone."""
        live = distinct(self.place)
        starts, widths = self.grid[live], self.grid[live + 1] - self.grid[live]
        inside = starts[:, None] + widths[:, None] * np.arange(parts + 1) // parts
        grid = distinct(np.concatenate((self.grid[:1], inside.ravel(), self.grid[-1:])))
        found = np.searchsorted(grid, self.grid)
        place, old = concatenated(found[self.place], found[self.place + 1] - found[self.place])
        return CutBlocks(grid, self.station[old], place)
