"""Points of a mixed space as rows of unit coordinates: continuous knobs pass, stepped ones and choices snap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from condensa_core.search.coordinates import Floats
from condensa_core.search.space import Knob, Point, Space

_MOST_STEPS = 4096  # a finer step pattern is walked as if it were continuous


@dataclass(frozen=True)
class UnitLattice:
    """Which unit coordinates the knobs of a space can take.

    Per knob: the mildest coordinate, and the ascending coordinates of all its values (None: any from the mildest to 1).
    """

    space: Space
    mildest: Floats
    levels: tuple[Floats | None, ...]

    @classmethod
    def of(cls, space: Space) -> UnitLattice:
        """The lattice of a space."""
        levels = tuple(_levels(knob) for knob in space.knobs)
        return cls(space, np.array([knob.unit(knob.grid(2)[0]) for knob in space.knobs]), levels)

    @property
    def continuous(self) -> bool:
        """Whether any knob can take a value between two others."""
        return any(levels is None for levels in self.levels)

    def snapped(self, units: Floats) -> Floats:
        """The nearest possible rows (n x d -> n x d); the input is not changed."""
        rows = np.clip(units, self.mildest, 1.0)
        for column, levels in enumerate(self.levels):
            if levels is not None:
                above = np.clip(np.searchsorted(levels, rows[:, column]), 1, max(len(levels) - 1, 1))
                lower, upper = levels[above - 1], levels[np.minimum(above, len(levels) - 1)]
                nearer = rows[:, column] - lower <= upper - rows[:, column]
                rows[:, column] = np.where(nearer, lower, upper)
        return rows

    def drawn(self, count: int, rng: np.random.Generator) -> Floats:
        """`count` rows, uniform over continuous knobs and over the values of the others."""
        rows = self.mildest + rng.random((count, len(self.levels))) * (1.0 - self.mildest)
        for column, levels in enumerate(self.levels):
            if levels is not None:
                rows[:, column] = levels[rng.integers(len(levels), size=count)]
        return rows

    def neighbours(self, units: Floats, scale: float, count: int, rng: np.random.Generator) -> Floats:
        """`count` rows around each of n rows (n x d -> n count x d), a few knobs moved at a time.

        Each knob moves with probability min(1, 3/d), at least one does: by a normal step of sd `scale` if it is
        continuous, else by such a step or, half the time, to any of its values. Few at a time, because a row near the
        best in eight dimensions is found by moving two or three knobs and not all.
        Source: Regis and Shoemaker 2013 (DYCORS), as in TuRBO and SCBO.
        """
        n, d = units.shape
        rows = np.repeat(units, count, axis=0)
        moved = rng.random(rows.shape) < min(1.0, 3.0 / d)
        moved[np.arange(n * count), rng.integers(d, size=n * count)] = True
        stepped = rows + scale * rng.standard_normal(rows.shape)
        anywhere = self.drawn(n * count, rng)
        jumps = (rng.random(rows.shape) < 0.5) & np.array([levels is not None for levels in self.levels])
        return self.snapped(np.where(moved, np.where(jumps, anywhere, stepped), rows))

    def points(self, units: Floats) -> tuple[Point, ...]:
        """The points at n rows."""
        return tuple(self.space.decode(row) for row in units.tolist())

    def rows(self, points: Sequence[Point]) -> Floats:
        """The rows of n points: n x d."""
        return np.array([self.space.encode(point) for point in points], dtype=np.float64).reshape(-1, len(self.levels))


def _levels(knob: Knob) -> Floats | None:
    if knob.choices is None and knob.step is None:
        return None
    values = knob.grid(_MOST_STEPS if knob.choices is None else max(len(knob.choices), 2))
    if knob.step is not None and len(values) == _MOST_STEPS:
        return None
    return np.array([knob.unit(value) for value in values])
