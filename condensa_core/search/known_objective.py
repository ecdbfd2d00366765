"""Constrained expected improvement when the objective is known and only the constraint has to be learned.

    E[(T(x) - T_best)^+ 1(x is believed to hold)] / T_best = (T(x) - T_best)^+ / T_best * P(x will be believed)

in logs, because far on the infeasible side it underflows. Sources: Gardner et al., ICML 2014 (constrained EI, here
with a deterministic objective); Ament et al., NeurIPS 2023 (logarithms).
"""

from __future__ import annotations

import numpy as np

from condensa_core.search.coordinates import Floats
from condensa_core.search.objectives import Objectives
from condensa_core.search.problem import Confidence

_LEAST_NOISE = 1e-6


def log_gains(objectives: Objectives, units: Floats) -> Floats:
    """The log of objective over reference at n points (n x d -> n), positive where better; nan where unknown."""
    ratios = np.log(objectives.estimate(units) / objectives.reference)
    return ratios if objectives.direction == "maximize" else -ratios


def log_improvement(gains: Floats, best: float) -> Floats:
    """log of the relative improvement (T - T_best)^+ / T_best for log gains of T and of T_best; -inf where none."""
    more = np.expm1(np.maximum(np.nan_to_num(gains, nan=-np.inf) - best, 0.0))
    with np.errstate(divide="ignore"):
        return np.log(more)


def log_belief(mean: Floats, sd: Floats, noise_sd: float, confidence: Confidence) -> Floats:
    """log P(a trial will be believed to hold its bound), for a margin f ~ N(mean, sd^2) read with noise: n each -> n.

    `Confidence` believes a reading y >= 0 if the margin given y holds with enough probability, or if y is clear by
    itself. Both come down to y >= b, y ~ N(mean, sd^2 + noise_sd^2), because the margin given y is normal with a mean
    linear in y. The plain P(f >= 0) instead sends trial after trial to where the margin is nearly zero: their readings
    then miss the level half the time, and those that meet it are not trusted.
    """
    from scipy.special import log_ndtr, ndtri  # here: a search of one knob needs no scipy

    noise = max(noise_sd, _LEAST_NOISE)
    total = np.sqrt(sd**2 + noise**2)
    enough = ndtri(confidence.probability) * sd * noise / total  # the mean that the margin given y must have
    likely = mean + (total / sd) ** 2 * (enough - mean)
    bound = np.minimum(np.maximum(likely, 0.0), max(confidence.clear_sd * noise, 0.0))
    return np.asarray(log_ndtr((mean - bound) / total), dtype=np.float64)
