"""The semi-parametric belief about one knob: P(feasible) and the metric's collapse, for any value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from condensa_core.search.coordinates import Floats, collapse, collapse_variance
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.semi_parametric import CollapsePosterior, Models, Readings, Shape, collapse_posterior
from condensa_core.search.short_evidence import ShortEvidence

_LEAST_PLATEAU: Final = 0.25  # of the drop: a curve that starts at its level crosses nowhere
# Laws of collapse differ most deep in it: how far below z = -1 a reading lies may be wrong by this part of itself.
# Taken at its word, a collapsed trial fixed the steepness at the level against what noisy readings near it said.
_DEPTH_MISFIT: Final = 0.3
_COARSE, _FINE = 96, 96


@dataclass(frozen=True)
class OneKnobBelief:
    """What finished trials say of every value of one knob; `units` are n x 1.

    P(feasible) never grows with strength: a trial that holds speaks for all milder settings, whatever they measured.
    `noise` is the z of a metric one standard deviation of a reading above the level.
    """

    posterior: CollapsePosterior
    reach: float
    noise: float

    def probability_feasible(self, units: Floats) -> Floats:
        return self._at(units, 0)

    def probability_clear(self, units: Floats) -> Floats:
        """P(the metric is better than the level by the noise of a reading) at n points."""
        return self._at(units, 1)

    def margins(self, units: Floats) -> tuple[Floats, Floats]:
        return self.posterior.median_and_sd(units[:, 0] * self.reach)

    def crossing(self, probability: float = 0.5) -> float:
        """The unit coordinate where P(feasible) falls below `probability`; above 1 where it does nowhere."""
        t, (p, _) = self._curves
        after = int(np.argmax(p < probability))
        if p[after] >= probability:
            return 2.0
        if after == 0:
            return 0.0
        share = (p[after - 1] - probability) / (p[after - 1] - p[after])
        return float(t[after - 1] + share * (t[after] - t[after - 1])) / self.reach

    def _at(self, units: Floats, which: int) -> Floats:
        t, curves = self._curves
        return np.interp(units[:, 0] * self.reach, t, curves[which])

    @cached_property
    def _curves(self) -> tuple[Floats, tuple[Floats, Floats]]:
        """Strengths, ever finer around the crossing, and there the probabilities of holding and of clearly holding."""
        crossing = self.posterior.models.crossing
        low, high = float(crossing.min()), float(crossing.max())
        pad = 0.05 * (high - low) + 1e-3 * self.reach
        around = np.linspace(low - pad, high + pad, _FINE)
        everywhere = np.concatenate([np.linspace(0, self.reach, _COARSE), around, self.posterior.readings.t])
        t = np.unique(np.clip(everywhere, 0, self.reach))
        holds, clear = self.posterior.probabilities(t, (0.0, self.noise))
        trials = np.searchsorted(t, np.unique(self.posterior.readings.t))
        return t, (_never_growing(holds, trials), _never_growing(clear, trials))


def _never_growing(p: Floats, trials: NDArray[np.intp]) -> Floats:
    """The probabilities made non-increasing, given the positions of trials among them.

    Only a trial may lift what is milder than itself: a residual that swings back beyond the last trial, or between two,
    is no evidence.
    """
    falling = [np.minimum.accumulate(part) for part in np.split(p, trials)]
    return np.maximum.accumulate(np.concatenate(falling)[::-1])[::-1]


def one_knob_belief(problem: LevelProblem, observations: Sequence[Observation]) -> OneKnobBelief:
    """The belief given the successful ones of `observations`, anchored at the reference where that holds the level."""
    drop, reach = problem.drop, problem.knob.reach
    reference = problem.margin(problem.reference_metric)
    known = [o for o in observations if o.metric is not None]
    short = [o for o in problem.short_readings if o.metric is not None]
    readings = _readings(problem, known)
    if reference > 0:
        own = collapse_variance(reference, 0.0, drop)  # no noise: the level is defined from it
        readings = Readings(
            np.append(readings.t, 0.0),
            np.append(readings.z, collapse(reference, drop)),
            np.append(readings.variance, own),
        )
    lowest = min((problem.margin(o.metric) for o in (*known, *short) if o.metric is not None), default=0.0)
    fall = max(abs(problem.reference_metric), reference - lowest, 10 * drop) / drop
    plateau = max(reference / drop, _LEAST_PLATEAU) if reference > 0 else 1.0
    shape = Shape(plateau, fall, reach)
    posterior = collapse_posterior(readings, shape, _log_prior(problem, short, shape))
    noise = float(np.median([problem.sd(o) for o in known])) if known else problem.default_sd
    return OneKnobBelief(posterior, reach, collapse(noise, drop))


def _log_prior(problem: LevelProblem, short: Sequence[Observation], shape: Shape) -> Callable[[Models], Floats] | None:
    """What else is known of the curve: from earlier searches where the level lies, from short runs how it falls."""
    expectations = [expected.strength(problem.knob) for expected in problem.expectations]
    evidence = ShortEvidence(_readings(problem, short), shape) if short else None
    if not expectations and evidence is None:
        return None

    def log_prior(models: Models) -> Floats:
        known = np.zeros_like(models.crossing) if evidence is None else evidence.log_weights(models)
        for expected in expectations:
            known = known + expected.log_density(models.crossing)
        return known

    return log_prior


def _readings(problem: LevelProblem, observations: Sequence[Observation]) -> Readings:
    drop = problem.drop
    margins = [(o, problem.margin(o.metric)) for o in observations if o.metric is not None]
    t = [problem.units(o.point)[0] * problem.knob.reach for o, _ in margins]
    z = [collapse(margin, drop) for _, margin in margins]
    variance = [
        collapse_variance(margin, problem.sd(o), drop) + (_DEPTH_MISFIT * max(-1 - below, 0.0)) ** 2
        for (o, margin), below in zip(margins, z, strict=True)
    ]
    return Readings(np.array(t), np.array(z), np.array(variance))
