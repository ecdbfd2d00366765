"""The ask-and-tell interface behind which every search stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from condensa_core.search.observation import Observation
from condensa_core.search.return_rule import Recommendation
from condensa_core.search.space import Point


class Strategy(Protocol):
    """A search that knows what to try next from what it was told.

    `ask` depends only on the constructor's arguments and the observations told so far, in order: asking twice gives the
    same point, and a fresh strategy that is told a journal continues as the old one would have.
    """

    @property
    def budget(self) -> int: ...

    @property
    def observations(self) -> Sequence[Observation]: ...

    def ask(self) -> Point | None:
        """The next point, never one that was told before; None when the search is over."""
        ...

    def stopped(self) -> str | None:
        """Why `ask` gives None, in a few words; None while it gives points."""
        ...

    def tell(self, observation: Observation) -> None:
        """Take note of a finished trial."""
        ...

    def recommend(self) -> Recommendation:
        """What to ship, by the return rule; the same for every strategy."""
        ...
