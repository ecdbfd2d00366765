"""The trials that a method makes before it has a model: points that fill the space."""

from __future__ import annotations

from condensa_core.randomness import Seed
from condensa_core.search.designs import sobol_units
from condensa_core.search.mixed import UnitLattice
from condensa_core.search.space import Point, Space, point_key
from condensa_core.search.strategy import Told


class InitialDesign:
    """The first `count` trials (default: 2 + d), a scrambled Sobol sequence; more while none has succeeded."""

    def __init__(self, space: Space, seed: Seed, count: int | None = None) -> None:
        self.count = 2 + len(space.knobs) if count is None else count
        units = sobol_units(8 * self.count, len(space.knobs), seed)
        lattice = UnitLattice.of(space)
        self._points = list({point_key(point): point for point in lattice.points(lattice.snapped(units))}.values())

    def next(self, told: Told, count: int) -> list[Point]:
        """Up to `count` untaken points of the design, none once it is through."""
        begun = len(told.observations) + len(told.pending)
        open_ones = self.count - begun if told.succeeded or told.pending else max(self.count - begun, 1)
        return told.untaken(self._points)[: max(min(count, open_ones), 0)]
