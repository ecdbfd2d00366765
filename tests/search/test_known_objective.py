"""Expected improvement with a known objective, against its definition by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from condensa_core.search import Confidence
from condensa_core.search.known_objective import log_belief, log_improvement

DRAWS = 200_000


@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.05, 0.2])
@pytest.mark.parametrize("sd", [0.03, 0.1, 0.5])
@pytest.mark.parametrize("confidence", [Confidence(), Confidence(0.95, 3.0), Confidence(0.0, 0.0)])
def test_the_chance_of_being_believed_is_how_often_simulated_trials_are(mean, sd, confidence):
    noise = 0.1
    rng = np.random.default_rng(0)
    reading = mean + sd * rng.standard_normal(DRAWS) + noise * rng.standard_normal(DRAWS)
    # the posterior of a normal margin given one normal reading, by adding precisions
    precision = 1 / sd**2 + 1 / noise**2
    after = (mean / sd**2 + reading / noise**2) / precision * math.sqrt(precision)
    holds = np.array([math.erfc(-a / math.sqrt(2)) / 2 for a in after])

    believed = np.mean([confidence.holds(y, noise, p) for y, p in zip(reading.tolist(), holds.tolist(), strict=True)])

    found = np.exp(log_belief(np.array([mean]), np.array([sd]), noise, confidence))[0]
    assert found == pytest.approx(believed, abs=0.005)  # four standard errors of the simulation


def test_without_noise_it_is_the_probability_of_feasibility():
    mean, sd = np.array([-1.0, 0.0, 0.7]), np.array([0.5, 0.2, 1.0])

    found = np.exp(log_belief(mean, sd, 0.0, Confidence()))

    expected = [math.erfc(-m / s / math.sqrt(2)) / 2 for m, s in zip(mean, sd, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_far_from_feasible_the_logarithm_stays_finite_and_ordered():
    logs = log_belief(np.array([-40.0, -50.0, -60.0]), np.full(3, 1.0), 0.1, Confidence())

    assert np.isfinite(logs).all() and (np.diff(logs) < 0).all()


def test_improvement_is_relative_to_the_best_and_none_below_it():
    found = log_improvement(np.log([1.5, 2.0, 3.0, np.nan]), math.log(2.0))

    np.testing.assert_allclose(found, [-np.inf, -np.inf, math.log(0.5), -np.inf])
