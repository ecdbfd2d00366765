"""What a search knows, and how it decides: every strategy stands behind these two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from condensa_core.search.observation import Observation
from condensa_core.search.space import Point, point_key


@dataclass(frozen=True)
class Told:
    """All that a strategy knows: finished trials in the order in which they ended, and points asked for but not told.

    Both in the order of asking and telling, so that two searches with the same past know the same.
    """

    observations: tuple[Observation, ...] = ()
    pending: tuple[Point, ...] = ()

    @property
    def succeeded(self) -> tuple[Observation, ...]:
        """The observations that gave a metric; only these may be fed to a model."""
        return tuple(o for o in self.observations if o.metric is not None)

    def taken(self) -> frozenset[str]:
        """The keys of all points that may not be proposed any more: told (failed ones too) or pending."""
        return frozenset([*(point_key(o.point) for o in self.observations), *map(point_key, self.pending)])

    def untaken(self, points: Sequence[Point]) -> list[Point]:
        """Those of `points`, in their order, that may still be proposed."""
        taken = self.taken()
        return [point for point in points if point_key(point) not in taken]


class Strategy(Protocol):
    """Which points to try next; stateless but for caches, so that equal `told` get equal answers."""

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        """Up to `count` >= 1 distinct new points, best first, none told or pending.

        () when there is nothing to propose, now (pending trials must end first) or ever (`finished` says why).
        """
        ...

    def finished(self, told: Told) -> str | None:
        """Why no further trial is worth its training, in a few words; None while one is. The budget is not its affair.

        Nothing is finished while the answer of a pending trial may change that.
        """
        ...
