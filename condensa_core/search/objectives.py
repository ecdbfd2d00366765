"""What is known of the objective before anything is trained."""

from __future__ import annotations

from typing import Literal, Protocol

from condensa_core.search.coordinates import Floats
from condensa_core.search.space import Point


class Objectives(Protocol):
    """The objective of untrained candidates, beside the reference model's. Objectives are positive numbers."""

    @property
    def reference(self) -> float:
        """The reference model's own."""
        ...

    @property
    def direction(self) -> Literal["maximize", "minimize"]: ...

    @property
    def margin(self) -> float:
        """The relative gain that measurement noise could fake: anything at or below it counts as none."""
        ...

    @property
    def name(self) -> str: ...

    def gain(self, objective: float, over: float) -> float:
        """By how much `objective` is better than `over`: 0.5 is half as fast again, or two thirds of the size."""
        ...

    def at(self, point: Point) -> float | None:
        """The objective measured at this very point; None where it was not."""
        ...

    def estimate(self, units: Floats) -> Floats:
        """The objective at n points of the unit cube (n x d -> n): measured or interpolated; nan where unknown."""
        ...
