"""Warm starts: an earlier crossing saves trials when it is right and is given up when it is wrong."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy.stats import t as student

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search import ExpectedCrossing, ExpectedStrength, HeldUpTo, Observation, Reading, belief_of

KNEES = (0.6, 0.8, 0.9)


def errors(problem, search, cliff, budget, shift, sd):
    """|estimated - true crossing| in -ln(1 - s), when the crossing was expected `shift` too strong."""
    found = []
    for knee in KNEES:
        curve = cliff(knee, steepness=10)
        truth = -math.log1p(-curve.crossing(0.92))
        expected = None if shift is None else ExpectedCrossing(-math.expm1(-(truth + shift)), sd)
        crossing = search(problem(count=400, expected=expected), curve, budget).recommendation.crossing
        found.append(abs(-math.log1p(-(0.97 if crossing is None else crossing)) - truth))
    return found


def test_a_right_expectation_saves_trials(problem, search, cliff):
    cold = errors(problem, search, cliff, 2, None, None)
    warm = errors(problem, search, cliff, 2, 0.1, 0.3)

    assert statistics.mean(warm) < 0.5 * statistics.mean(cold)


def test_a_wrong_expectation_washes_out(problem, search, cliff):
    wrong = errors(problem, search, cliff, 6, 0.8, 0.1)  # eight scales away

    assert max(wrong) < 0.02


def test_without_trials_the_belief_is_the_prior(problem):
    told = problem(expected=ExpectedCrossing(0.8, 0.3))
    units = np.array([[told.knob.unit(s)] for s in (0.7, 0.8, 0.87)])

    said = belief_of(told, (), Seed()).probability_feasible(units)

    at = (-np.log1p(-np.array([0.7, 0.8, 0.87])) + math.log1p(-0.8)) / 0.3
    # the reference and the ends of the range take their part of the tails; the residual adds spread
    np.testing.assert_allclose(said, student(3).sf(at), atol=0.05)


def test_impossible_expectations_are_refused(problem):
    with pytest.raises(UsageError, match="scale of an expected crossing"):
        ExpectedCrossing(0.8, 0.0)
    with pytest.raises(UsageError, match="scale of an expected crossing"):
        ExpectedStrength(1.0, math.inf)
    with pytest.raises(UsageError, match="must be finite"):
        ExpectedStrength(math.nan, 0.3)


def test_a_strength_expects_what_its_value_does(problem):
    units = np.linspace(0, 1, 30)[:, None]

    by_value = belief_of(problem(expected=ExpectedCrossing(0.8, 0.2)), (), Seed())
    by_strength = belief_of(problem(expected=ExpectedStrength(-math.log(0.2), 0.2)), (), Seed())

    np.testing.assert_allclose(by_strength.probability_feasible(units), by_value.probability_feasible(units), rtol=1e-9)


def test_several_expectations_are_evidence_together(problem):
    """Two that agree are surer than either; of two that differ the surer one counts more."""

    def said(*expected):
        belief = belief_of(problem(expected=expected), (), Seed())
        return belief.crossing(0.5) * belief.reach, (belief.crossing(0.2) - belief.crossing(0.8)) * belief.reach

    alone, together = said(ExpectedStrength(1.6, 0.2)), said(ExpectedStrength(1.6, 0.2), ExpectedStrength(1.6, 0.2))
    between = said(ExpectedStrength(1.4, 0.1), ExpectedStrength(1.8, 0.3))

    assert together[1] < 0.8 * alone[1]
    assert 1.38 < between[0] < 1.55


def test_a_search_that_broke_its_bound_nowhere_says_nothing_of_what_lies_beyond(problem):
    at = np.array([0.5, 1.0, 1.6, 2.0, 3.0, 9.0])
    said = HeldUpTo(1.6, 0.2).log_density(at)

    np.testing.assert_array_equal(said[2:], 0.0)
    np.testing.assert_array_equal(said[:2], ExpectedStrength(1.6, 0.2).log_density(at[:2]))
    units = at[2:-1, None] / problem().knob.reach
    p = belief_of(problem(expected=HeldUpTo(1.6, 0.1)), (), Seed()).probability_feasible(units)
    # crossings up to 1.25 times the strongest setting are as likely as each other
    beyond = 1.25 * problem().knob.reach
    np.testing.assert_allclose(p, (beyond - at[2:-1]) / (beyond - 1.6), atol=0.06)


def test_an_absurdly_wrong_expectation_underflows_nowhere(problem, cliff):
    """Warnings are errors: weights this small must stay logarithms."""
    curve = cliff(0.6, steepness=10)
    whole = [Observation.of({"s": s}, Reading(curve(s))) for s in (0.3, 0.5, 0.55, 0.6)]
    many = tuple(ExpectedStrength(3.3, 1e-3) for _ in range(60))
    truth = -math.log1p(-curve.crossing(0.92))

    wrong = belief_of(problem(expected=many), (), Seed())
    mended = belief_of(problem(expected=(ExpectedStrength(3.3, 1e-3),)), whole, Seed())

    assert wrong.crossing() * wrong.reach == pytest.approx(3.3, abs=0.3)
    assert mended.crossing() * mended.reach == pytest.approx(truth, abs=0.03)


def test_an_expectation_beyond_the_range_starts_at_its_end(problem, search, cliff):
    told = problem(count=400, expected=ExpectedStrength(5.0, 0.2))  # the range ends at 3.5

    assert search(told, cliff(0.8), budget=1).tried[0] > 0.96
