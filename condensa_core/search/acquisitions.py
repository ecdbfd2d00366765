"""How much a trial is worth, from the mean and standard deviation of a Gaussian posterior: higher is better.

Every function is elementwise: n means and n standard deviations (both of the noise-free metric, higher = better) give n
scores. The point with the highest score is tried next.
"""

from __future__ import annotations

import numpy as np

from condensa_core.search.coordinates import Floats
from condensa_core.search.normal import log_cdf, log_mean_excess


def ils_ucb(mean: Floats, sd: Floats, *, level: float, gamma: float) -> Floats:
    """(1 - gamma) sd - gamma |mean - level|: uncertain and near the level set scores high.

    gamma in [0, 1]; 0 samples where least is known, 1 where the mean meets the level.
    Source: Garg et al., "Tumor localization using automated palpation with Gaussian process adaptive sampling",
    CASE 2016; used for the accuracy of compressed models by Joseph et al., arXiv 1911.02497v1.
    """
    return (1 - gamma) * sd - gamma * np.abs(mean - level)


def straddle(mean: Floats, sd: Floats, *, level: float, beta: float) -> Floats:
    """beta sd - |mean - level|: how far the confidence band of beta standard deviations reaches across the level.

    Source: Bryan et al., "Active learning for identifying function threshold boundaries", NIPS 2005, with beta 1.96.
    """
    return beta * sd - np.abs(mean - level)


def upper_confidence_bound(mean: Floats, sd: Floats, *, beta: float) -> Floats:
    """mean + beta sd. Source: Srinivas et al., ICML 2010, whose sqrt(beta_t) is this beta, here constant."""
    return mean + beta * sd


def log_expected_improvement(mean: Floats, sd: Floats, *, best: float) -> Floats:
    """log E[(f - best)^+]; -inf where sd is 0 and nothing is gained.

    Source: Jones, Schonlau and Welch, J. Global Optimization 13 (1998), equation 15; its logarithm, which has the same
    maximum and does not underflow: Ament et al., NeurIPS 2023.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.log(sd) + log_mean_excess((mean - best) / sd)
        certain = np.log(np.maximum(mean - best, 0.0))
    return np.where(sd > 0, spread, certain)


def log_probability_of_improvement(mean: Floats, sd: Floats, *, best: float) -> Floats:
    """log P(f > best); 0 or -inf where sd is 0.

    Source: Kushner, J. Basic Engineering 86 (1964); the logarithm tells apart what the probability rounds to 0 or 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (mean - best) / sd
    return np.where(sd > 0, log_cdf(np.where(sd > 0, score, 0.0)), np.where(mean > best, 0.0, -np.inf))
