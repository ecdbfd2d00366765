"""The level-set search: where does the metric meet its bound, asked only at settings whose objective is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search.bracket import bracket_of
from condensa_core.search.judgement import Judged, incumbent, judge
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import Record
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.space import Point, point_key
from condensa_core.search.strategy import Told

if TYPE_CHECKING:
    from condensa_core.search.surrogate import Surrogate

ACQUISITIONS = ("ils-ucb", "bisection")
_LEAST_GAIN = 0.01  # a trial that could improve the objective by less is not worth a training run
_BISECTIONS = 2  # a GP of the reference and one point knows neither length-scale nor slope


class LevelSetSearch:
    """Narrows the bracket around the level among the records of the objective profile.

    The first two trials bisect the bracket in the unit coordinate; later ones maximise ILS-UCB of the surrogate over
    the records inside the bracket (acquisition "bisection": all bisect). It is over when the bracket holds no untried
    record, or when the best record left would gain less than 1 % over the best confident trial.
    """

    def __init__(self, problem: LevelProblem, *, seed: Seed, acquisition: str = "ils-ucb", gamma: float = 0.8) -> None:
        if acquisition not in ACQUISITIONS:
            known = ", ".join(ACQUISITIONS)
            raise UsageError(
                f"acquisition {acquisition!r} is not available in this version", hint=f"use one of {known}"
            )
        if not 0 <= gamma <= 1:
            raise UsageError(f"gamma must lie in 0..1, got {gamma}")
        self.problem = problem
        self.acquisition = acquisition
        self.gamma = gamma
        self._seed = seed
        self._records = problem.records
        self._fitted: tuple[tuple[Observation, ...], Surrogate] | None = None

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        points: list[Point] = []
        for _ in range(count):
            seen = replace(told, pending=(*told.pending, *points))
            candidates = self._candidates(seen)
            if not candidates:
                break
            if len(told.succeeded) < _BISECTIONS or self.acquisition == "bisection":
                chosen = self._middle_of(candidates, told)
            else:
                chosen = self._most_telling_of(candidates, told)
            points.append({self.problem.knob.name: chosen.value})
        return tuple(points)

    def finished(self, told: Told) -> str | None:
        if not self._records:
            return nothing_better(self.problem)
        if told.pending:
            return None
        candidates = self._candidates(told)
        if not candidates:
            return "no untried setting is left between what holds and what fails"
        best = incumbent(self._judged(told))
        safe = 0.0 if best is None else best.gain
        gains = [self.problem.profile.gain(c.objective, self.problem.profile.reference) for c in candidates]
        if (1 + max(gains)) / (1 + safe) - 1 < _LEAST_GAIN:
            return f"the settings left would gain less than {_LEAST_GAIN:.0%}"
        return None

    def _candidates(self, told: Told) -> tuple[Record, ...]:
        """The records inside the bracket that may still be proposed, mild to strong."""
        bracket = bracket_of(self._judged(told))
        taken = told.taken()
        name, unit = self.problem.knob.name, self.problem.knob.unit
        return tuple(
            r for r in self._records if bracket.contains(unit(r.value)) and point_key({name: r.value}) not in taken
        )

    def _middle_of(self, candidates: Sequence[Record], told: Told) -> Record:
        """The candidate nearest to the middle of the bracket; equally near: the milder.

        A pass too narrow to be trusted counts as one here, or the next trial would be its neighbour.
        """
        judged = self._judged(told)
        passed = max((j.units[0] for j in judged if j.margin >= 0), default=0.0)
        fails = bracket_of(judged).fails
        strongest = self.problem.knob.unit(self._records[-1].value)
        middle = (passed + (strongest if fails is None else fails)) / 2
        return min(candidates, key=lambda r: abs(self.problem.knob.unit(r.value) - middle))

    def _most_telling_of(self, candidates: Sequence[Record], told: Told) -> Record:
        """The candidate with the highest ILS-UCB score; equal scores: the milder."""
        surrogate = self._surrogate(told)
        assert surrogate is not None
        units = np.array([[self.problem.knob.unit(r.value)] for r in candidates])
        return candidates[int(np.argmax(surrogate.level_scores(units, self.gamma)))]

    def _judged(self, told: Told) -> tuple[Judged, ...]:
        return judge(self.problem, told.observations, self._surrogate(told))

    def _surrogate(self, told: Told) -> Surrogate | None:
        """The surrogate of what was told so far, fitted once per set of observations; None while no trial succeeded."""
        if not told.succeeded:
            return None
        if self._fitted is None or self._fitted[0] != told.observations:
            from condensa_core.search.surrogate import fit_surrogate  # here: BoTorch takes seconds to load

            self._fitted = told.observations, fit_surrogate(self.problem, told.observations, self._seed)
        return self._fitted[1]
