"""Noisy expected improvement under an outcome constraint, the objective modelled too: the usual way, for comparison."""

from __future__ import annotations

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.initial_design import InitialDesign
from condensa_core.search.local_search import best_rows
from condensa_core.search.mixed import UnitLattice
from condensa_core.search.problem import LevelProblem
from condensa_core.search.space import Point
from condensa_core.search.strategy import Told


class LogNEI:
    """qLogNEI over two Gaussian processes: the log objective of finished trials, and the metric as a constraint.

    Sobol points first (2 + d, or `initial`). It does not use that the objective is known before training.
    Source: Ament et al., "Unexpected improvements to expected improvement for Bayesian optimization", NeurIPS 2023.
    """

    def __init__(self, problem: LevelProblem, *, seed: Seed, initial: int | None = None) -> None:
        self.problem = problem
        self._seed = seed
        self._lattice = UnitLattice.of(problem.space)
        self._design = InitialDesign(problem.space, seed, initial)

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        points = self._design.next(told, count)
        while len(points) < count and told.succeeded:
            found = self._best_of(Told(told.observations, (*told.pending, *points)))
            if not found:
                break
            points += found
        return tuple(points)

    def finished(self, told: Told) -> str | None:
        return None

    def _best_of(self, told: Told) -> list[Point]:
        from condensa_core.search.constraint_gp import fit_constraint_gp  # here: BoTorch takes seconds to load
        from condensa_core.search.noisy_improvement import log_noisy_improvement

        profile = self.problem.profile
        rest = np.zeros((1, len(self.problem.space.knobs)))
        known = [(o, value) for o in told.succeeded if (value := self.problem.objective(o)) is not None]
        rows = np.vstack([rest, self._lattice.rows([o.point for o, _ in known])])
        gains = np.array([0.0, *(np.log1p(profile.gain(value, profile.reference)) for _, value in known)])
        seed = self._seed.child("log-nei", len(told.observations), len(told.pending))
        score = log_noisy_improvement(
            fit_constraint_gp(self.problem, told.observations, self._seed),
            rows,
            gains,
            rows,
            self._lattice.rows(told.pending),
            seed,
        )
        found, _ = best_rows(self._lattice, score, rows[1:] if len(known) else rest, seed.numpy_generator("rows"))
        return told.untaken(self._lattice.points(found))[:1]
