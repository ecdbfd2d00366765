"""Acquisition values against their definitions, also where the plain formulas underflow."""

import math

import gaussian_oracle as oracle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_ndtr
from scipy.stats import norm

from condensa_core.search.acquisitions import (
    ils_ucb,
    log_expected_improvement,
    log_probability_of_improvement,
    straddle,
    upper_confidence_bound,
)
from condensa_core.search.normal import cdf, log_cdf, log_mean_excess, pdf
from condensa_core.search.quiet import quiet

with quiet():
    import torch
    from botorch.acquisition.analytic import _log_ei_helper

means = st.lists(st.floats(-5, 5), min_size=1, max_size=5).map(np.array)


@given(means, st.floats(0.01, 3), st.floats(-2, 2))
def test_improvements_are_those_of_their_integrals(mean, sd, best):
    sds = np.full(len(mean), sd)

    expected = np.exp(log_expected_improvement(mean, sds, best=best))
    probability = np.exp(log_probability_of_improvement(mean, sds, best=best))

    # quadrature is good to 1e-8 of the value where that is above rounding
    np.testing.assert_allclose(expected, oracle.expected_improvement(mean, sds, best), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(probability, oracle.probability_of_improvement(mean, sds, best), rtol=1e-8, atol=1e-300)


def test_without_uncertainty_an_improvement_is_the_difference():
    mean, sd = np.array([1.0, 2.0, 4.0]), np.zeros(3)

    with np.errstate(all="raise"):
        expected = np.exp(log_expected_improvement(mean, sd, best=2.0))
        probability = np.exp(log_probability_of_improvement(mean, sd, best=2.0))

    assert expected.tolist() == [0.0, 0.0, 2.0]
    assert probability.tolist() == [0.0, 0.0, 1.0]


def test_hopeless_points_are_still_told_apart():
    mean = np.linspace(-400, 0, 4001)  # far below -38 standard deviations, where the plain values are all 0

    expected = log_expected_improvement(mean, np.ones_like(mean), best=0.0)
    probability = log_probability_of_improvement(mean, np.ones_like(mean), best=0.0)

    assert (np.diff(expected) > 0).all()
    assert (np.diff(probability) > 0).all()


def test_the_tails_are_those_of_other_implementations():
    x = np.concatenate([np.linspace(-60, 9, 1381), [-1000.0, 30.0]])

    np.testing.assert_allclose(log_cdf(x), log_ndtr(x), rtol=1e-9)  # of a logarithm near -300, so twelve digits
    np.testing.assert_allclose(cdf(x), norm.cdf(x), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(pdf(x), norm.pdf(x), rtol=1e-12, atol=1e-300)


def test_the_log_of_the_mean_excess_follows_its_derivative():
    x = np.linspace(-80, 5, 1701)
    step = 1e-4  # the derivative of E[(X + x)^+] is cdf(x)

    slope = (log_mean_excess(x + step) - log_mean_excess(x - step)) / (2 * step)

    np.testing.assert_allclose(slope, np.exp(log_ndtr(x) - log_mean_excess(x)), rtol=1e-4)


def test_scores_of_the_level_by_hand():
    mean, sd = np.array([0.9, 0.5]), np.array([0.1, 0.4])

    assert ils_ucb(mean, sd, level=0.8, gamma=0.25).tolist() == pytest.approx([0.75 * 0.1 - 0.25 * 0.1, 0.3 - 0.075])
    assert straddle(mean, sd, level=0.8, beta=2.0).tolist() == pytest.approx([0.1, 0.5])
    assert upper_confidence_bound(mean, sd, beta=2.0).tolist() == pytest.approx([1.1, 1.3])
    assert ils_ucb(mean, sd, level=0.8, gamma=0.0).tolist() == sd.tolist()


@given(st.floats(-30, 30), st.floats(1e-3, 10))
def test_agreement_with_botorch(mean, sd):
    ours = log_expected_improvement(np.array([mean]), np.array([sd]), best=0.0)[0]

    theirs = _log_ei_helper(torch.tensor(mean / sd, dtype=torch.float64)).item() + math.log(sd)
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)
