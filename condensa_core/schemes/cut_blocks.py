"""Where the cuts between clusters may still lie, while a search closes in on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from condensa_core.schemes.ragged import concatenated


@dataclass(frozen=True, eq=False)
class CutBlocks:
    """Blocks of a grid, for each station of a route those that its cut may lie in; in order of station, then place."""

    grid: Tensor  # positions on the line, ascending, the first 0 and the last n
    station: Tensor
    place: Tensor  # the block goes from grid[place] to grid[place + 1]

    @staticmethod
    def everywhere(grid: Tensor, stations: int) -> CutBlocks:
        """All blocks for every station but the first and the last, whose cuts are 0 and n."""
        station = torch.arange(1, stations - 1, device=grid.device)
        place = torch.arange(grid.numel() - 1, device=grid.device)
        return CutBlocks(grid, station.repeat_interleave(place.numel()), place.repeat(station.numel()))

    @property
    def start(self) -> Tensor:
        """Positions on the line where blocks start."""
        return self.grid[self.place]

    @property
    def end(self) -> Tensor:
        """Positions on the line where blocks end."""
        return self.grid[self.place + 1]

    @cached_property
    def single(self) -> bool:
        """Whether no block can be split."""
        return bool((self.end - self.start == 1).all())

    @cached_property
    def _keys(self) -> Tensor:
        return self.station * self.grid.numel() + self.place

    @cached_property
    def ends(self) -> Tensor:
        """Both ends of all blocks, each once a station: station * len(grid) + place on the grid, ascending."""
        return torch.cat((self._keys, self._keys + 1)).unique()

    @cached_property
    def _at(self) -> tuple[Tensor, Tensor]:
        return torch.searchsorted(self.ends, self._keys), torch.searchsorted(self.ends, self._keys + 1)

    def counts(self, stations: int) -> list[int]:
        """How many of the ends each station has, one for the first and the last."""
        inner = torch.bincount(self.ends // self.grid.numel(), minlength=stations).tolist()
        return [1, *inner[1:-1], 1]

    def stops(self, stations: int) -> list[Tensor]:
        """Positions of the ends by station; those of the first and the last are 0 and n."""
        inner = self.grid[self.ends % self.grid.numel()]
        return [self.grid[:1], *inner.split(self.counts(stations)[1:-1]), self.grid[-1:]]

    def at_ends(self, amounts: Tensor) -> Tensor:
        """For each of `ends`, the larger of the `amounts` of the one or two blocks that it ends."""
        low, high = self._at
        sides = amounts.new_zeros(2, self.ends.numel())
        sides[0, low], sides[1, high] = amounts, amounts
        return sides[0].maximum(sides[1])

    def where(self, possible: Tensor) -> CutBlocks:
        """The blocks of which one of the `ends` is possible."""
        low, high = self._at
        kept = possible[low] | possible[high]
        return replace(self, station=self.station[kept], place=self.place[kept])

    def split(self, parts: int) -> CutBlocks:
        """The blocks in `parts` equal parts, or single positions, on a grid of their ends alone."""
        live = torch.zeros(self.grid.numel() - 1, dtype=torch.bool, device=self.grid.device)
        live[self.place] = True
        starts, widths = self.grid[:-1][live], self.grid.diff()[live]
        inside = starts[:, None] + widths[:, None] * torch.arange(parts + 1, device=self.grid.device) // parts
        grid = torch.cat((self.grid[:1], inside.flatten(), self.grid[-1:])).unique()
        found = torch.searchsorted(grid, self.grid)
        place, old = concatenated(found[self.place], found[self.place + 1] - found[self.place])
        return CutBlocks(grid, self.station[old], place)
