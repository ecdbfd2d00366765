"""SCBO: Thompson sampling in a trust region, the level as a constraint; a published baseline for several knobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.coordinates import Floats
from condensa_core.search.initial_design import InitialDesign
from condensa_core.search.known_objective import log_gains
from condensa_core.search.mixed import UnitLattice
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.space import Point
from condensa_core.search.strategy import Told

if TYPE_CHECKING:
    from condensa_core.search.constraint_gp import ConstraintGP

_LENGTH, _SHORTEST, _LONGEST = 0.8, 0.5**7, 1.6
_SUCCESSES = 3  # in a row, after which the region doubles
_CANDIDATES = 1000
_PERTURBED = 20  # knobs moved per candidate, at most: the paper's min(1, 20 / d)


@dataclass(frozen=True)
class TrustRegion:
    """The box around the best trial: its side, and how often in a row trials improved or did not."""

    length: float = _LENGTH
    successes: int = 0
    failures: int = 0

    def after(self, improved: bool, patience: int) -> TrustRegion:
        """Doubled after 3 successes, halved after `patience` failures; restarted when it has become too small."""
        successes, failures = (self.successes + 1, 0) if improved else (0, self.failures + 1)
        if successes == _SUCCESSES:
            return TrustRegion(min(2 * self.length, _LONGEST))
        if failures == patience:
            halved = self.length / 2
            return TrustRegion(halved if halved >= _SHORTEST else _LENGTH)
        return TrustRegion(self.length, successes, failures)


class SCBO:
    """Scalable constrained Bayesian optimisation with the objective known and the metric's margin as constraint.

    Sobol points first (`initial`, default 2 + d), then in each trial: draws of the metric's posterior over candidates
    in the trust region around the best trial; the best objective among the candidates whose draw is feasible, else the
    least violated one. More generous than the paper: the objective is known and not modelled, and the reference is a
    feasible trial from the start, around which the first region lies.
    Source: Eriksson and Poloczek, "Scalable constrained Bayesian optimization", AISTATS 2021.
    """

    def __init__(self, problem: LevelProblem, *, seed: Seed, initial: int | None = None) -> None:
        self.problem = problem
        self._seed = seed
        self._lattice = UnitLattice.of(problem.space)
        self._design = InitialDesign(problem.space, seed, initial)
        self._patience = max(4, len(problem.space.knobs))
        self._fitted: tuple[tuple[Observation, ...], ConstraintGP] | None = None

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        points = self._design.next(told, count)
        if len(points) < count and told.succeeded:
            points += self._sampled(Told(told.observations, (*told.pending, *points)), count - len(points))
        return tuple(points)

    def finished(self, told: Told) -> str | None:
        return None

    def region(self, observations: Sequence[Observation]) -> TrustRegion:
        """The trust region after these trials, replayed from the first one after the initial design."""
        region = TrustRegion()
        for index in range(self._design.count, len(observations)):
            before, after = self._best(observations[:index]), self._best(observations[: index + 1])
            region = region.after(improved=after is not before, patience=self._patience)
        return region

    def _best(self, observations: Sequence[Observation]) -> Observation | None:
        """The best trial that reads feasible and beats the reference; None: the reference itself is the best so far."""
        feasible = [o for o in observations if o.metric is not None and self.problem.margin(o.metric) >= 0]
        return max((o for o in feasible if self._gain(o) > 0), key=self._gain, default=None)

    def _gain(self, observation: Observation) -> float:
        objective = self.problem.objective(observation)
        return 0.0 if objective is None else self.problem.profile.gain(objective, self.problem.profile.reference)

    def _sampled(self, told: Told, count: int) -> list[Point]:
        from condensa_core.search.constraint_gp import fit_constraint_gp  # here: BoTorch takes seconds to load

        if self._fitted is None or self._fitted[0] != told.observations:
            self._fitted = told.observations, fit_constraint_gp(self.problem, told.observations, self._seed)
        best = self._best(told.observations)
        centre = np.zeros(len(self.problem.space.knobs)) if best is None else np.array(self.problem.units(best.point))
        rng = self._seed.numpy_generator("scbo", len(told.observations), len(told.pending))
        rows = self._candidates(centre, self.region(told.observations).length, rng)
        rows = rows[[bool(told.untaken([p])) for p in self._lattice.points(rows)]]
        if not len(rows):
            return []
        gains = np.nan_to_num(log_gains(self.problem.profile, rows), nan=-1e3)
        seed = self._seed.child("thompson", len(told.observations), len(told.pending))
        chosen = self._fitted[1].thompson(rows, gains, count, seed)
        return list(self._lattice.points(rows[chosen]))

    def _candidates(self, centre: Floats, length: float, rng: np.random.Generator) -> Floats:
        """Rows in the box, its sides scaled by the fitted length-scales; some knobs stay at the centre."""
        assert self._fitted is not None
        scales = self._fitted[1].length_scales()
        sides = length * scales / np.exp(np.log(scales).mean())
        low, high = np.clip(centre - sides / 2, 0, 1), np.clip(centre + sides / 2, 0, 1)
        d = len(centre)
        moved = rng.random((_CANDIDATES, d)) < min(1.0, _PERTURBED / d)
        moved[np.arange(_CANDIDATES), rng.integers(d, size=_CANDIDATES)] = True
        rows = np.where(moved, low + rng.random((_CANDIDATES, d)) * (high - low), centre)
        return np.unique(self._lattice.snapped(rows), axis=0)
