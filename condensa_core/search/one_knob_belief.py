"""The semi-parametric belief about one knob: P(feasible) and the metric's collapse, for any value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from condensa_core.search.coordinates import Floats, collapse, collapse_variance
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.semi_parametric import CollapsePosterior, Readings, Shape, collapse_posterior

_LEAST_PLATEAU: Final = 0.25  # of the drop: a curve that starts at its level crosses nowhere
_COARSE, _FINE = 96, 96


@dataclass(frozen=True)
class OneKnobBelief:
    """What finished trials say of every value of one knob; `units` are n x 1.

    P(feasible) never grows with strength: a trial that holds speaks for all milder settings, whatever they measured.
    """

    posterior: CollapsePosterior
    reach: float

    def probability_feasible(self, units: Floats) -> Floats:
        t, p = self._curve
        return np.interp(units[:, 0] * self.reach, t, p)

    def margins(self, units: Floats) -> tuple[Floats, Floats]:
        mean, sd = self.posterior.predict(units[:, 0] * self.reach)
        weight = self.posterior.models.weight
        average = weight @ mean
        return average, np.sqrt(weight @ (sd**2 + (mean - average) ** 2))

    def crossing(self, probability: float = 0.5) -> float:
        """The unit coordinate where P(feasible) falls below `probability`; above 1 where it does nowhere."""
        t, p = self._curve
        after = int(np.argmax(p < probability))
        if p[after] >= probability:
            return 2.0
        if after == 0:
            return 0.0
        share = (p[after - 1] - probability) / (p[after - 1] - p[after])
        return float(t[after - 1] + share * (t[after] - t[after - 1])) / self.reach

    @cached_property
    def _curve(self) -> tuple[Floats, Floats]:
        """Strengths, ever finer around the crossing, and P(feasible) there."""
        models = self.posterior.models
        low, high = float(models.crossing.min()), float(models.crossing.max())
        pad = 0.05 * (high - low) + 1e-3 * self.reach
        t = np.unique(
            np.clip(
                np.concatenate(
                    [
                        np.linspace(0, self.reach, _COARSE),
                        np.linspace(low - pad, high + pad, _FINE),
                        self.posterior.readings.t,
                    ]
                ),
                0,
                self.reach,
            )
        )
        p = self.posterior.probability(t)
        return t, np.maximum.accumulate(p[::-1])[::-1]


def one_knob_belief(problem: LevelProblem, observations: Sequence[Observation]) -> OneKnobBelief:
    """The belief given the successful ones of `observations`, anchored at the reference where that holds the level."""
    drop, reach = problem.drop, problem.knob.reach
    reference = problem.margin(problem.reference_metric)
    known = [(o, problem.margin(o.metric)) for o in observations if o.metric is not None]
    t = [problem.units(o.point)[0] * reach for o, _ in known]
    z = [collapse(margin, drop) for _, margin in known]
    variance = [collapse_variance(margin, problem.sd(o), drop) for o, margin in known]
    if reference > 0:
        t.append(0.0)
        z.append(collapse(reference, drop))
        variance.append(collapse_variance(reference, 0.0, drop))  # the level is defined from it
    lowest = min((margin for _, margin in known), default=0.0)
    fall = max(abs(problem.reference_metric), reference - lowest, 10 * drop) / drop
    plateau = max(reference / drop, _LEAST_PLATEAU) if reference > 0 else 1.0
    readings = Readings(np.array(t), np.array(z), np.array(variance))
    posterior = collapse_posterior(readings, Shape(plateau, fall, reach), _prior(problem))
    return OneKnobBelief(posterior, reach)


def _prior(problem: LevelProblem) -> Callable[[Floats], Floats] | None:
    """The log prior of the crossing at strengths t, where an earlier search knows one."""
    expected = problem.expected
    if expected is None:
        return None
    at = problem.knob.unit(expected.value) * problem.knob.reach
    return lambda t: expected.log_density(t, at)
