"""Several objectives at once: which compromise to train next."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search.coordinates import Floats
from condensa_core.search.designs import sobol_units
from condensa_core.search.front import trade_offs
from condensa_core.search.local_search import best_rows
from condensa_core.search.many_knobs import curve_of
from condensa_core.search.mixed import UnitLattice
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.return_rule import nothing_better
from condensa_core.search.space import Point, point_key
from condensa_core.search.strategy import Told

if TYPE_CHECKING:
    from condensa_core.search.knob_gp import KnobGP

_SECTIONS = 3  # first trials, at equal steps of strength along the allocation curve
_LISTED = 512  # settings; of a larger space as many Sobol points stand for what was not tried


class ParetoSearch:
    """Grows the hypervolume between the reference point and the front of the trials that hold the level.

    With further objectives the front lies between them and the profile's, and the metric is a constraint; without, it
    lies between the objective and the metric. The reference point is the reference model's objectives and, for the
    metric, the level. Objectives are known before training; the metric is a Gaussian process (`fit_knob_gp`). While no
    trial has succeeded there is nothing to fit: after the sections, untried settings follow, the mildest first.
    Source: Daulton, Balandat and Bakshy, "Parallel Bayesian optimization of multiple noisy objectives with expected
    hypervolume improvement", NeurIPS 2021, in the logarithms of Ament et al., NeurIPS 2023.
    """

    def __init__(self, problem: LevelProblem, *, seed: Seed) -> None:
        if len(problem.space.knobs) == 1:
            raise UsageError("the front of one knob is its records", hint="search it with level-set")
        self.problem = problem
        self._seed = seed
        self._lattice = UnitLattice.of(problem.space)
        self._curve = curve_of(problem)
        strengths = [(i + 1) / (_SECTIONS + 1) for i in range(_SECTIONS)] if len(self._curve.gains) else []
        self._sections = _distinct([problem.space.decode(self._curve.at(s).tolist()) for s in strengths])
        self._fitted: tuple[tuple[Observation, ...], KnobGP] | None = None

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        points = told.untaken(self._sections)[:count]
        if not told.succeeded:  # what open trials will tell is worth waiting for
            return tuple(points if points or told.pending else told.untaken(self._settings)[:count])
        while len(points) < count:
            found = self._best_of(Told(told.observations, (*told.pending, *points)))
            if not found:
                break
            points += found
        return tuple(points)

    def finished(self, told: Told) -> str | None:
        if not self._sections:
            return nothing_better(self.problem)
        if told.pending or told.untaken(self._settings):
            return None
        return "every setting was tried"

    @cached_property
    def _settings(self) -> list[Point]:
        """All settings whose objectives are known, the mildest first; of too many to list: the curve, Sobol points."""
        levels = [column for column in self._lattice.levels if column is not None]
        if not self._lattice.continuous and math.prod(map(len, levels)) <= _LISTED:
            rows = np.array(list(itertools.product(*levels)))
        else:
            drawn = sobol_units(_LISTED, len(self.problem.space.knobs), self._seed.child("settings"))
            rows = np.vstack([self._curve.units, self._lattice.snapped(drawn)])
        rows = self._known(rows)
        return _distinct(self._lattice.points(rows[np.argsort(rows.sum(axis=1), kind="stable")]))

    def _best_of(self, told: Told) -> list[Point]:
        from condensa_core.search.knob_gp import fit_knob_gp  # here: BoTorch takes seconds to load
        from condensa_core.search.noisy_improvement import log_hypervolume_improvement

        if self._fitted is None or self._fitted[0] != told.observations:
            self._fitted = told.observations, fit_knob_gp(self.problem, told.observations, self._seed)
        rest = np.zeros((1, len(self.problem.space.knobs)))
        tried = self._known(np.vstack([rest, self._lattice.rows([o.point for o in told.succeeded])]))
        seed = self._seed.child("pareto", len(told.observations), len(told.pending))
        improvement = log_hypervolume_improvement(
            self._fitted[1].process.model,
            self._outcomes,
            tried,
            self._known(self._lattice.rows(told.pending)),
            seed,
            metric_is_outcome=not self.problem.further,
        )

        def score(rows: Floats) -> Floats:
            scores = np.full(len(rows), -np.inf)
            known = np.isfinite(self._outcomes(rows)).all(axis=1)
            if known.any():
                scores[known] = improvement(rows[known])
            return scores

        found, _ = best_rows(self._lattice, score, tried, seed.numpy_generator("rows"))
        if points := told.untaken(self._lattice.points(found)):
            return points[:1]
        # among few settings the tried ones can crowd out the others
        left = told.untaken(self._settings)
        return [left[int(np.argmax(score(self._lattice.rows(left))))]] if left else []

    def _outcomes(self, rows: Floats) -> Floats:
        return trade_offs(self.problem, rows)

    def _known(self, rows: Floats) -> Floats:
        return rows[np.isfinite(self._outcomes(rows)).all(axis=1)]


def _distinct(points: Sequence[Point]) -> list[Point]:
    return list({point_key(point): point for point in points}.values())
