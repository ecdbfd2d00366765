"""Many numbers, sorted only as far as somebody looks: buckets of equal width, and the points of some of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import torch
from torch import Tensor

_COUNT: Final = 4096
_FEW: Final = 2048  # numbers that are cheaper to sort at once


@dataclass(frozen=True, eq=False)
class Atoms:
    """Numbers in ascending groups, with the sums of each: a group is a bucket, or a point, all of whose members agree.

    Host arrays, one entry a group: `mass`, the weight of its members (positive); `about`, one of them; the sums `first`
    and `second` of w (x - about) and w (x - about)^2; bounds `low` and `high` of its members, equal for a point; and
    the `bucket` they are in.
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
        both = {f.name: np.concatenate((getattr(self, f.name)[kept], getattr(points, f.name))) for f in fields(Atoms)}
        order = np.lexsort((both["low"], both["bucket"]))
        return Atoms(**{name: array[order] for name, array in both.items()})


@dataclass(frozen=True, eq=False)
class Buckets:
    """n >= 1 finite numbers on their own device, and the bucket that each is in."""

    values: Tensor  # float64
    weights: Tensor | None  # float64; None: every number alike
    index: Tensor  # int64
    edges: np.ndarray  # of the buckets in which not all numbers agree: members are between two edges, up to rounding

    @staticmethod
    def of(values: Tensor, weights: Tensor | None) -> Buckets:
        """`values` of any floating dtype; few of them make one bucket."""
        wide = values.double()
        low, high = (float(end) for end in wide.aminmax())
        count = _COUNT if wide.numel() > _FEW and 0 < _COUNT / max(high - low, 1e-300) < 1e300 else 1
        if count == 1:
            index = torch.zeros(wide.shape, dtype=torch.int64, device=wide.device)
        else:
            index = (wide - low).mul_(count / (high - low)).long().clamp_max_(count - 1)
        return Buckets(wide, weights, index, np.linspace(low, high, count + 1))

    def atoms(self) -> Atoms:
        """All numbers that have weight, in buckets; a single bucket in its points."""
        count = self.edges.size - 1
        if count == 1:
            return self.points(np.zeros(1, dtype=np.int64))
        # About any of its members: exact where all agree, and precise where they are near each other.
        about = self.values.new_zeros(count).scatter_(0, self.index, self.values)
        offset = about.index_select(0, self.index).neg_().add_(self.values)
        mass, first = torch.bincount(self.index, self.weights, count), self._summed(offset, count)
        second = self._summed(offset.mul_(offset), count)
        mass, first, second, middle = (sums.double().cpu().numpy() for sums in (mass, first, second, about))
        some = (mass > 0).nonzero()[0]
        point, slack = second == 0, 1e-6 * (self.edges[1] - self.edges[0])
        low = np.where(point, middle, self.edges[:-1] - slack)
        high = np.where(point, middle, self.edges[1:] + slack)
        return Atoms(*(array[some] for array in (mass, middle, first, second, low, high, np.arange(count))))

    def _summed(self, terms: Tensor, count: int) -> Tensor:
        return torch.bincount(self.index, terms if self.weights is None else self.weights * terms, count)

    def points(self, buckets: np.ndarray) -> Atoms:
        """The distinct numbers of these buckets, but for those without weight."""
        chosen = self._among(buckets)
        values = self.values[chosen].cpu().numpy()
        if self.weights is None:
            x, first, mass = np.unique(values, return_index=True, return_counts=True)
        else:
            weights = self.weights[chosen].cpu().numpy()
            x, first, place = np.unique(values, return_index=True, return_inverse=True)
            mass = np.bincount(place, weights, x.size)
        bucket, some = self.index[chosen].cpu().numpy()[first], mass > 0
        x, mass, bucket = x[some], mass[some].astype(np.float64), bucket[some]
        nothing = np.zeros_like(x)
        return Atoms(mass, x, nothing, nothing, x, x, bucket)

    def nearest(self, book: np.ndarray, dtype: torch.dtype) -> Tensor:
        """For each number the place of the nearest in an ascending `book`, the earlier of two."""
        boundaries = (book[1:] + book[:-1]) / 2
        slack = 1e-6 * (self.edges[1] - self.edges[0])
        lowest = np.searchsorted(boundaries, self.edges[:-1] - slack)
        torn = (lowest != np.searchsorted(boundaries, self.edges[1:] + slack)).nonzero()[0]
        device = self.values.device
        place = torch.from_numpy(lowest).to(device, dtype).index_select(0, self.index)
        chosen = self._among(torn).nonzero().flatten()
        place[chosen] = torch.searchsorted(torch.from_numpy(boundaries).to(device), self.values[chosen]).to(dtype)
        return place

    def _among(self, buckets: np.ndarray) -> Tensor:
        """Which numbers are in one of these buckets."""
        member = np.zeros(self.edges.size - 1, dtype=bool)
        member[buckets] = True
        return torch.from_numpy(member).to(self.values.device).index_select(0, self.index)
