"""Weighted points on a line, with the sums that make the cost of any run of them one subtraction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from condensa_core.schemes.buckets import Atoms


@dataclass(frozen=True, eq=False)
class Line:
    """m groups of points in ascending order. Runs [i, j) of groups go by positions 0..m.

    Sums are taken about `origin`, and numbers given from there.
    """

    atoms: Atoms
    origin: float
    # Sums of w, w (x - origin) and w (x - origin)^2 over the points of each group, 3 x m.
    groups: np.ndarray
    # The same over the points before each position, 3 x (m + 1).
    sums: np.ndarray

    @staticmethod
    def of(atoms: Atoms, *, about_zero: bool) -> Line:
        """Sums about zero, or about the mean."""
        moment = atoms.first + atoms.mass * atoms.about
        origin = 0.0 if about_zero else float(moment.sum() / atoms.mass.sum())
        away = atoms.about - origin
        moment = atoms.first + atoms.mass * away
        energy = atoms.second + away * (2 * atoms.first + atoms.mass * away)
        groups = np.stack((atoms.mass, moment, energy))
        sums = np.zeros((3, len(atoms) + 1))
        np.cumsum(groups, axis=1, out=sums[:, 1:])
        return Line(atoms, origin, groups, sums)

    def __len__(self) -> int:
        return len(self.atoms)

    @cached_property
    def rest(self) -> np.ndarray:
        """As `sums`, over the points from each position on.

        Summed from the far end: a difference of `sums` loses light points that come after heavy ones.
        """
        backwards = np.zeros_like(self.sums)
        np.cumsum(self.groups[:, ::-1], axis=1, out=backwards[:, 1:])
        return backwards[:, ::-1]

    @property
    def rounding(self) -> float:
        """What costs may be wrong by: 1e-13 of the energy, the sum of w (x - origin)^2."""
        return 1e-13 * float(self.sums[2, -1])

    def cost(self, start: np.ndarray, end: np.ndarray, *, pinned: bool = False) -> np.ndarray:
        """What the runs [start, end) cost as one cluster each; broadcasts; infinite where a run ends before it starts.

        sum w (x - c)^2 about their mean, or with `pinned` about c = 0 (on a line about zero).
        """
        return run_cost(self.sums[:, start], self.sums[:, end], pinned=pinned)

    def mean(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Weighted means of runs, from the origin; NaN for runs that are empty or too light beside what precedes them
        for a difference of sums to tell their weight."""
        mass, moment = self.sums[:2, end] - self.sums[:2, start]
        return np.divide(moment, mass, out=np.full_like(mass, np.nan), where=mass > 0)

    def means_between(self, starts: np.ndarray) -> np.ndarray:
        """Weighted means of the runs from each start to the next and to the end, from the origin, however light.

        `starts` ascend, each less than m.
        """
        mass, moment = np.add.reduceat(self.groups[:2], starts, axis=1)
        return moment / mass


def run_cost(start: np.ndarray, end: np.ndarray, *, pinned: bool) -> np.ndarray:
    """`Line.cost`, from the columns of `sums` at `start` and `end`."""
    mass = end[0] - start[0]
    cost = end[2] - start[2]
    if not pinned:
        # An empty run costs nothing; rounding may make a single point cost less than that.
        moment = end[1] - start[1]
        moment *= moment
        moment /= np.where(mass > 0, mass, 1)
        cost -= moment
        np.maximum(cost, 0, out=cost)
    cost[mass < 0] = np.inf
    return cost
