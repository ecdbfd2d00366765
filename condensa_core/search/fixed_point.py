"""No search: the recipe fixes every setting, and one trial says whether it holds the bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from condensa_core.search.observation import Observation
from condensa_core.search.return_rule import Recommendation
from condensa_core.search.space import Point


class FixedPoint:
    """An ask-and-tell search of one empty point; `holds` says whether a metric keeps the bound."""

    budget = 1

    def __init__(self, holds: Callable[[float], bool]) -> None:
        self._holds = holds
        self._asked = False
        self._only: Observation | None = None

    @property
    def observations(self) -> tuple[Observation, ...]:
        return () if self._only is None else (self._only,)

    @property
    def pending(self) -> tuple[Point, ...]:
        return ({},) if self._asked and self._only is None else ()

    def ask(self, count: int = 1) -> tuple[Point, ...]:
        if self._asked or self._only is not None:
            return ()
        self._asked = True
        return ({},)

    def stopped(self) -> str | None:
        return None if self._only is None else "there was one setting to try"

    def tell_observation(self, observation: Observation) -> None:
        self._only = observation

    def restore(self, state: Mapping[str, Any]) -> None:
        self._only = next(map(Observation.from_record, state["observations"]), None)
        self._asked = bool(state["pending"])

    def recommend(self) -> Recommendation:
        """The trial itself; no probability is claimed from a single reading."""
        only = self._only
        if only is None or only.metric is None:
            reason = f"the only trial failed: {only.failure}" if only else "no trial was made"
            return Recommendation(None, False, None, (None, None), reason, trials=len(self.observations))
        holds = self._holds(only.metric)
        reason = "the recipe fixes every setting" if holds else "the recipe's only setting breaks the bound"
        return Recommendation(only.point, holds, None, (None, None), reason, only, trials=1)
