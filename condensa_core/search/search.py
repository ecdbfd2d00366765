"""One interface to ask what to try and to tell what came out, whatever the strategy and whoever runs the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from condensa_core.errors import ResumeError, UsageError
from condensa_core.search.observation import Observation, Reading
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import Recommendation, recommend
from condensa_core.search.space import Point, point_key
from condensa_core.search.strategy import Strategy, Told


class AskTell(Protocol):
    """What the conductor of trials needs of a search."""

    @property
    def budget(self) -> int: ...

    @property
    def observations(self) -> tuple[Observation, ...]: ...

    @property
    def pending(self) -> tuple[Point, ...]: ...

    def ask(self, count: int = 1) -> tuple[Point, ...]: ...

    def tell_observation(self, observation: Observation) -> None: ...

    def stopped(self) -> str | None: ...

    def recommend(self) -> Recommendation: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Search:
    """A problem, a strategy and a budget, and everything asked and told so far.

    A search with the same problem, strategy and past gives the same next points, so `state` and `restore` (or telling
    the same again) continue it anywhere. Points are mappings from knob to value. Trials may end in any order.
    """

    def __init__(self, problem: LevelProblem, strategy: Strategy, *, budget: int) -> None:
        if budget < 1:
            raise UsageError(f"a search needs a budget of at least 1 trial, got {budget}")
        self.problem = problem
        self.strategy = strategy
        self._budget = budget
        self._observations: list[Observation] = []
        self._pending: dict[str, Point] = {}  # by point_key, in the order of asking

    @property
    def budget(self) -> int:
        """The number of trials this search may make, failed ones included."""
        return self._budget

    @property
    def observations(self) -> tuple[Observation, ...]:
        """Every finished trial, in the order of telling."""
        return tuple(self._observations)

    @property
    def pending(self) -> tuple[Point, ...]:
        """Points asked for and not told yet, in the order of asking."""
        return tuple(self._pending.values())

    def ask(self, count: int = 1) -> tuple[Point, ...]:
        """Up to `count` new points, which are pending from now on; none was ever asked for or told before.

        () when the search is over (`stopped` says why), or when pending points must be told first.
        """
        if count < 1:
            raise UsageError(f"ask for at least 1 point, got {count}")
        room = self.budget - len(self._observations) - len(self._pending)
        if room < 1 or self.stopped() is not None:
            return ()
        told = self._told()
        points = self.strategy.propose(told, min(count, room))
        keys = [point_key(point) for point in points]
        assert len(set(keys)) == len(keys) and not told.taken() & set(keys), "a strategy proposed a point twice"
        self._pending.update(zip(keys, points, strict=True))
        return points

    def tell(
        self,
        point: Point,
        metric: float | None = None,
        *,
        sd: float | None = None,
        objective: float | None = None,
        failure: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Take note of a finished trial, asked for or not; it counts against the budget.

        `metric` None, or any number that is not finite, makes it a failed trial: no model is fed with it and the point
        is not asked for again. `sd` is the standard deviation of the metric (None: the problem's default), `objective`
        what the finished candidate measured (None: the profile's value), `details` any JSON values to keep.
        """
        if metric is None:
            self.tell_observation(Observation.failed(point, failure or "no metric was given"))
        else:
            self.tell_observation(Observation.of(point, Reading(metric, sd, objective, details or {})))

    def tell_observation(self, observation: Observation) -> None:
        """`tell` for a trial that is already written down."""
        self.problem.units(observation.point)  # a point of another space is refused here and not by a model later
        self._pending.pop(point_key(observation.point), None)
        self._observations.append(observation)

    def stopped(self) -> str | None:
        """Why no further point will be asked for, in a few words; None while the search goes on."""
        reason = self.strategy.finished(self._told())
        if reason is None and len(self._observations) >= self.budget:
            return f"the budget of {self.budget} trial{'' if self.budget == 1 else 's'} is spent"
        return reason

    def recommend(self) -> Recommendation:
        """What to ship given what was told so far, by the return rule, which is the same for every strategy."""
        return recommend(self.problem, self._observations)

    def state(self) -> dict[str, Any]:
        """JSON values from which `restore` makes a search of the same problem and strategy continue."""
        return {
            "observations": [observation.to_record() for observation in self._observations],
            "pending": [dict(point) for point in self._pending.values()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Replace everything asked and told by what `state` gave; ResumeError when it is no such state."""
        try:
            observations = [Observation.from_record(record) for record in state["observations"]]
            pending: Sequence[Point] = [dict(point) for point in state["pending"]]
        except (KeyError, TypeError, ValueError) as err:
            raise ResumeError("this is no state of a search") from err
        for point in (*(o.point for o in observations), *pending):
            if not all(map(math.isfinite, self.problem.units(point))):
                raise ResumeError(f"no search of this problem asked for {dict(point)}")
        self._observations = observations
        self._pending = {point_key(point): point for point in pending}

    def _told(self) -> Told:
        return Told(self.observations, self.pending)
