"""The level-set search: where does the metric meet its bound, asked only at settings whose objective is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from condensa_core.search.bracket import bracket_of
from condensa_core.search.coordinates import Floats
from condensa_core.search.judgement import Judged, incumbent, judge
from condensa_core.search.observation import Observation
from condensa_core.search.one_knob_belief import OneKnobBelief, one_knob_belief
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.space import Point, point_key
from condensa_core.search.strategy import Told

_BISECTIONS = 3  # improvement alone overshoots at first: the objective grows fast and the crossing may be anywhere
# A trial that is expected to improve the objective by less is not worth a training run. While trials are few nearly all
# are worth one; later ones mostly meet noise, and must be worth more. On 400 random curves this took 7.4 trials on
# average and lost as little as 8 trials always; 0.15 % throughout took 7.5 and lost a twentieth more.
_LEAST_GAIN = 0.0005
_LATE_LEAST_GAIN = 0.01
_LATE = 8  # trials
_STOPPING_FROM = 4  # fewer trials know the spread of the crossing too badly to stop on an expectation
_SURE = 0.9  # what would ship with a smaller trust is worth another trial: it tells of that one as well
_DOUBTED_UNTIL = 10  # trials; a doubt that they leave is one of the noise, which further ones hardly lessen
_NEIGHBOURHOOD = 0.02  # in unit coordinates: a setting so near to a failed one would fail alike


class LevelSetSearch:
    """Finds the best objective that keeps the metric, among the records of a knob's objective profile.

    1. The first trials bisect the posterior of the crossing: the record nearest to P(feasible) = 1/2.
    2. Later ones maximise the expected improvement of the known objective, (T(s) - T_safe)^+ P(s), with T_safe the best
       objective that holds with confidence, and P(s) that of holding by the noise of a reading.
    It is over when, after 4 trials, no expected improvement reaches `least_gain` of T_safe (by default 0.05 %, and 1 %
    from 8 trials on) and what would ship is trusted to 90 % (or 10 trials could not make it so), or when no untried
    record is left between what holds and what fails.

    Several trials at once split the probability of where the crossing lies into equal parts; once improvement is
    maximised, each is chosen for what it adds to those that are pending, as if the metric fell with strength: then the
    best of a batch is the strongest one that holds, and its expectation is known in closed form.
    """

    def __init__(self, problem: LevelProblem, *, least_gain: float | None = None) -> None:
        self.problem = problem
        self.least_gain = least_gain
        knob, profile = problem.knob, problem.profile
        self._values = [record.value for record in problem.records]
        self._keys = [point_key({knob.name: value}) for value in self._values]
        self._units = np.array([knob.unit(value) for value in self._values])
        # of the reference's objective; grows from record to record
        self._factors = np.array([1 + profile.gain(r.objective, profile.reference) for r in problem.records])
        self._seen: tuple[tuple[Observation, ...], _Seen] | None = None

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        choose = self._bisecting if len(told.succeeded) < _BISECTIONS else self._improving
        return tuple({self.problem.knob.name: self._values[i]} for i in choose(told, count))

    def finished(self, told: Told) -> str | None:
        if not self._values:
            return nothing_better(self.problem)
        if told.pending:
            return None
        seen = self._look(told)
        free = self._free(told, [])
        bracket = bracket_of(seen.judged)
        if not any(bracket.contains(unit) for unit in self._units[free]):
            return "no untried setting is left between what holds and what fails"
        if len(told.succeeded) < _BISECTIONS:
            return None
        best, least = float(self._added_gains(seen, np.empty(0))[free].max()), self._least(told)
        doubted = seen.trust < _SURE and len(told.succeeded) < _DOUBTED_UNTIL
        if best <= 0 or (len(told.succeeded) >= _STOPPING_FROM and best < least and not doubted):
            return f"another trial is expected to gain less than {least:.2%}"
        return None

    def _least(self, told: Told) -> float:
        """The expected gain that is worth another training run."""
        if self.least_gain is not None:
            return self.least_gain
        return _LATE_LEAST_GAIN if len(told.succeeded) >= _LATE else _LEAST_GAIN

    def _bisecting(self, told: Told, count: int) -> list[int]:
        """Up to `count` records that divide the probability of where the crossing lies."""
        belief = self._look(told).belief
        chosen: list[int] = []
        while len(chosen) < count and len(self._free(told, chosen)):
            waiting = self._waiting(told, chosen)
            if len(waiting):
                p = np.array([1.0, *belief.probability_feasible(waiting[:, None]), 0.0])
                widest = int(np.argmax(p[:-1] - p[1:]))
                levels = [float(p[widest] + p[widest + 1]) / 2]
            else:
                levels = [1 - (i + 1) / (count + 1) for i in range(count)]
            for level in levels:
                free = self._free(told, chosen)
                if len(free):
                    # records may be far apart: the one that halves the probability, not the nearest in strength
                    unequal = np.abs(belief.probability_feasible(self._units[free][:, None]) - level)
                    away = np.abs(self._units[free] - belief.crossing(level))
                    chosen.append(int(free[np.lexsort((away, unequal))[0]]))
        return chosen

    def _improving(self, told: Told, count: int) -> list[int]:
        """Up to `count` records, each adding most to the expected improvement.

        Beside waiting trials one must be worth its training: their answers may make it needless or move it.
        """
        seen = self._look(told)
        chosen: list[int] = []
        while len(chosen) < count and len(free := self._free(told, chosen)):
            waiting = self._waiting(told, chosen)
            gains = self._added_gains(seen, waiting)[free]
            if gains.max() <= (self._least(told) if len(waiting) else 0):
                break
            chosen.append(int(free[np.argmax(gains)]))
        return chosen

    def _added_gains(self, seen: _Seen, waiting: Floats) -> Floats:
        """What each record adds to the expected improvement over T_safe, relative to it, beside the waiting trials.

        With the next milder waiting trial at a and the next stronger at b, a record adds (T - max(T_a, T_safe))^+ when
        it holds and b does not, which has probability P - P_b. To hold means to be better than the level by the noise
        of a reading: a setting just at its level is as likely to read worse, and ships by luck if it reads better.
        """
        p = seen.belief.probability_clear(self._units[:, None])
        stronger = np.searchsorted(waiting, self._units, side="right")
        of_waiting = np.interp(waiting, self._units, self._factors)
        milder = np.maximum(seen.safe, np.array([0.0, *of_waiting])[stronger])
        beyond = np.array([*seen.belief.probability_clear(waiting[:, None]), 0.0])[stronger]
        return np.maximum(self._factors - milder, 0) / seen.safe * np.maximum(p - beyond, 0)

    def _waiting(self, told: Told, chosen: Sequence[int]) -> Floats:
        """The unit coordinates of pending and chosen trials, mild to strong."""
        return np.sort(np.array([*(self.problem.units(point)[0] for point in told.pending), *self._units[chosen]]))

    def _free(self, told: Told, chosen: Sequence[int]) -> NDArray[np.intp]:
        """Positions of the records that may be proposed, not next to a failed trial unless no other is left."""
        taken = told.taken()
        free = [i for i, key in enumerate(self._keys) if key not in taken and i not in chosen]
        failed = [self.problem.units(o.point)[0] for o in told.observations if o.metric is None]
        away = [i for i in free if all(abs(self._units[i] - at) >= _NEIGHBOURHOOD for at in failed)]
        return np.array(away or free, dtype=np.intp)

    def _look(self, told: Told) -> _Seen:
        if self._seen is None or self._seen[0] != told.observations:
            belief = one_knob_belief(self.problem, told.observations)
            judged = judge(self.problem, told.observations, belief)
            best = incumbent(judged)
            self._seen = (
                told.observations,
                _Seen(belief, judged, *((1.0, 1.0) if best is None else (1 + best.gain, best.trust))),
            )
        return self._seen[1]


@dataclass(frozen=True)
class _Seen:
    """What the finished trials say; `safe` is the best objective that holds, relative to the reference's, `trust` its.

    Without any they are those of the reference.
    """

    belief: OneKnobBelief
    judged: tuple[Judged, ...]
    safe: float
    trust: float
