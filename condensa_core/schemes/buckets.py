"""Many numbers, sorted only as far as somebody looks: buckets of equal width, and the points of some of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

_COUNT: Final = 4096
_FEW: Final = 2048  # numbers that are cheaper to sort at once
_PIECE: Final = 1 << 16  # numbers summed at a time on the host: in the cache, and of memory that needs no clearing
_SLACK: Final = 0.01  # of a bucket's width: how far rounding may carry a number over its edge, and more


@dataclass(frozen=True, eq=False)
class Atoms:
    """Numbers in ascending groups, with the sums of each: a group is a bucket, or a point, all of whose members agree.

    Host arrays, one entry a group: `mass`, the weight of its members (positive); a number, the point itself for points,
    `about` which the sums `first` and `second` of w (x - about) and w (x - about)^2 are taken; bounds `low` and `high`
    of its members, equal for points alone; and the `bucket` they are in.
    """

    mass: np.ndarray
    about: np.ndarray
    first: np.ndarray
    second: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bucket: np.ndarray

    def __len__(self) -> int:
        return self.mass.size

    @property
    def divisible(self) -> np.ndarray:
        """Which groups are no points."""
        return self.low < self.high

    def with_points(self, points: Atoms) -> Atoms:
        """`points` in the place of the buckets that they are in."""
        kept = ~np.isin(self.bucket, points.bucket)
        order = np.argsort(np.concatenate((self.bucket[kept], points.bucket)), kind="stable")
        pairs = ((getattr(self, field.name)[kept], getattr(points, field.name)) for field in fields(Atoms))
        return Atoms(*(np.concatenate(pair)[order] for pair in pairs))


@dataclass(frozen=True, eq=False)
class Buckets:
    """n >= 1 finite numbers on their own device, and the bucket that each is in."""

    values: Tensor  # of any floating dtype
    weights: Tensor | None  # float64; None: every number alike
    index: Tensor  # int32
    edges: np.ndarray  # members are between two of them, up to rounding

    @staticmethod
    def of(values: Tensor, weights: Tensor | None) -> Buckets:
        """Few numbers, or an extreme range of them, make one bucket."""
        low, high = (float(end) for end in values.aminmax())
        if values.numel() <= _FEW or not 1e-30 < high - low < 1e30:
            return Buckets(values, weights, torch.zeros_like(values, dtype=torch.int32), np.array([low, high]))
        wide = values if values.dtype == torch.float64 else values.float()
        index = (wide - low).mul_((_COUNT - _SLACK) / (high - low)).int()
        return Buckets(values, weights, index, low + np.arange(_COUNT + 1) * ((high - low) / (_COUNT - _SLACK)))

    def atoms(self, *, squares: bool = True) -> Atoms:
        """All numbers that have weight, in buckets; a single bucket in its points. Sums of squares if asked for, else
        NaN."""
        count, low = self.edges.size - 1, self.edges[0]
        if count == 1:
            return self.points(np.zeros(1, dtype=np.int64))
        host = self._sums(low, squares).cpu().numpy()
        some = (host[0] > 0).nonzero()[0]
        slack = _SLACK * (self.edges[1] - low)
        lowest, highest = self.edges[some] - slack, self.edges[some + 1] + slack
        return Atoms(host[0, some], np.full(some.size, low), host[1, some], host[2, some], lowest, highest, some)

    @cached_property
    def _counts(self) -> Tensor:
        """How many numbers each bucket has."""
        return torch.bincount(self.index, minlength=self.edges.size - 1)

    def _sums(self, about: float, squares: bool) -> Tensor:
        """Sums of w, w (x - about) and w (x - about)^2 of each bucket, 3 x buckets, float64."""
        count, total = self.edges.size - 1, self.values.numel()
        sums = torch.zeros(3, count, dtype=torch.float64, device=self.values.device)
        piece = min(_PIECE, total) if self.values.device.type == "cpu" else total
        room = torch.empty(piece, dtype=torch.float64, device=self.values.device)
        for start in range(0, total, piece):
            index = self.index[start : start + piece]
            terms = room[: index.numel()].copy_(self.values[start : start + piece]).sub_(about)
            weighted = terms
            if self.weights is not None:
                weights = self.weights[start : start + piece]
                weighted = weights * terms
                sums[0] += torch.bincount(index, weights, count)
            sums[1] += torch.bincount(index, weighted, count)
            if squares:
                sums[2] += torch.bincount(index, terms.mul_(weighted), count)
        if self.weights is None:
            sums[0] = self._counts
        if not squares:
            sums[2] = torch.nan
        return sums

    def points(self, buckets: np.ndarray) -> Atoms:
        """The distinct numbers of these buckets, but for those without weight."""
        chosen = self._members(buckets)
        values = self.values[chosen].double().cpu().numpy()
        order = np.argsort(values)
        x = values[order]
        starts = np.append(True, x[1:] != x[:-1]).nonzero()[0] if x.size else order
        if self.weights is None:
            mass = np.diff(np.append(starts, x.size)).astype(np.float64)
        else:
            mass = np.add.reduceat(self.weights[chosen].cpu().numpy()[order], starts)
        some = mass > 0
        mass, x, bucket = mass[some], x[starts][some], self.index[chosen].long().cpu().numpy()[order[starts]][some]
        nothing = np.zeros_like(x)
        return Atoms(mass, x, nothing, nothing, x, x, bucket)

    def nearest(self, book: np.ndarray, dtype: torch.dtype) -> tuple[Tensor, np.ndarray]:
        """For each number the place of the nearest in an ascending `book`, the earlier of two; and which are nearest to
        any."""
        # Halfway between two adjacent float64 rounds to either of them.
        boundaries = np.minimum((book[1:] + book[:-1]) / 2, np.nextafter(book[1:], -np.inf))
        if book.size == 2:
            above = _above(self.values, float(boundaries[0]))
            count = int(above.count_nonzero())
            return above.to(dtype), np.array([count < above.numel(), count > 0])
        slack = _SLACK * (self.edges[1] - self.edges[0])
        lowest = np.searchsorted(boundaries, self.edges[:-1] - slack)
        torn = lowest != np.searchsorted(boundaries, self.edges[1:] + slack)
        device = self.values.device
        place = torch.from_numpy(lowest).to(device, dtype).index_select(0, self.index)
        chosen = self._members(torn)
        torn_values = self.values[chosen].double()
        torn_places = torch.searchsorted(torch.from_numpy(boundaries).to(device), torn_values)
        place[chosen] = torn_places.to(dtype)
        used = torch.bincount(torn_places, minlength=book.size).cpu().numpy() > 0
        used[lowest[~torn & (self._counts.cpu().numpy() > 0)]] = True
        return place, used

    def _members(self, buckets: np.ndarray) -> Tensor:
        """Where the numbers in these buckets are."""
        member = np.zeros(self.edges.size - 1, dtype=bool)
        member[buckets] = True
        return torch.from_numpy(member).to(self.values.device).index_select(0, self.index).nonzero().flatten()


def _above(values: Tensor, boundary: float) -> Tensor:
    """Which values are larger than a float64: torch would round it to their dtype first."""
    rounded = float(torch.tensor(boundary, dtype=values.dtype))
    return values > rounded if rounded <= boundary else values >= rounded
