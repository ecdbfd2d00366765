"""No search: the recipe fixes every setting, and one trial says whether it holds the bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from condensa_core.search.observation import Observation
from condensa_core.search.return_rule import Recommendation
from condensa_core.search.space import Point


class FixedPoint:
    """A strategy with one empty point; `holds` says whether a metric keeps the bound."""

    budget = 1

    def __init__(self, holds: Callable[[float], bool]) -> None:
        self._holds = holds
        self._observations: list[Observation] = []

    @property
    def observations(self) -> Sequence[Observation]:
        return tuple(self._observations)

    def ask(self) -> Point | None:
        return None if self._observations else {}

    def stopped(self) -> str | None:
        return "there was one setting to try" if self._observations else None

    def tell(self, observation: Observation) -> None:
        self._observations.append(observation)

    def recommend(self) -> Recommendation:
        """The trial itself; no probability is claimed from a single reading."""
        only = self._observations[0] if self._observations else None
        if only is None or only.metric is None:
            reason = f"the only trial failed: {only.failure}" if only else "no trial was made"
            return Recommendation(None, False, None, (None, None), reason, trials=len(self._observations))
        holds = self._holds(only.metric)
        reason = "the recipe fixes every setting" if holds else "the recipe's only setting breaks the bound"
        return Recommendation(only.point, holds, None, (None, None), reason, only, trials=1)
