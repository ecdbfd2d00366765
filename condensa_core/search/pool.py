"""The candidates of a search with their coordinates, and which of them may still be proposed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from condensa_core.search.coordinates import Floats
from condensa_core.search.frames import Frame
from condensa_core.search.sections import nearest_apart
from condensa_core.search.space import Point, point_key
from condensa_core.search.strategy import Told


@dataclass(frozen=True)
class Pool:
    """n candidates and their coordinates in a frame, n x d."""

    points: tuple[Point, ...]
    inputs: Floats
    keys: tuple[str, ...]

    @classmethod
    def of(cls, frame: Frame) -> Pool:
        """The candidates of a frame."""
        points = frame.candidates()
        return cls(points, frame.inputs(points), tuple(map(point_key, points)))

    def left(self, told: Told) -> NDArray[np.int_]:
        """The indices of candidates neither told nor pending, ascending."""
        taken = told.taken()
        return np.array([i for i, key in enumerate(self.keys) if key not in taken], np.int_)

    def nearest(self, left: Sequence[int] | NDArray[np.int_], places: Iterable[float]) -> tuple[Point, ...]:
        """The nearest candidate of one knob for each place, from `left` and none twice."""
        return tuple(self.points[left[i]] for i in nearest_apart(places, self.places[np.asarray(left)]))

    @property
    def places(self) -> Floats:
        """The coordinates of candidates of one knob: n."""
        return self.inputs[:, 0]
