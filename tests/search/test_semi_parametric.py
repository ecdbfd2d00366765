"""The semi-parametric belief against multivariate normals, a brute-force grid, and curves drawn from its own prior."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from condensa_core.search.semi_parametric import Models, Readings, Shape, collapse_posterior

SHAPE = Shape(plateau=1.0, fall=90.0, reach=4.6)
READINGS = Readings(
    np.array([0.0, 1.2, 1.9, 2.6]), np.array([math.asinh(1), 0.8, -0.4, -4.0]), np.array([1e-4, 0.04, 0.03, 0.001])
)


def curve(t, crossing, steepness, offset, shape=SHAPE):
    """z of a logistic collapse from plateau + offset, shifted so that it is 0 at its crossing."""
    top, fall = shape.plateau + offset, shape.fall + offset
    logit = math.log(top / fall / (1 - top / fall))
    return np.arcsinh(top - fall / (1 + np.exp(-(steepness * (t - crossing) + logit))))


def matern52(a, b, amplitude):
    d = np.abs(a[:, None] - b[None, :]) / 2.0
    return amplitude**2 * (1 + math.sqrt(5) * d + 5 / 3 * d**2) * np.exp(-math.sqrt(5) * d)


@given(st.floats(0.0, 5.0), st.floats(1.5, 60), st.floats(0, 1), st.floats(0.25, 1))
def test_every_curve_meets_the_level_at_its_crossing_and_falls(crossing, steepness, offset, plateau):
    one = Models(Shape(plateau, 90.0, 4.6), *(np.array([x]) for x in (crossing, steepness, offset, 0.1, 1.0)))

    at_crossing = one.means(np.array([crossing]))[0, 0]
    along = one.means(np.linspace(0, 5, 50))[0]

    assert at_crossing == pytest.approx(0, abs=1e-9)
    assert (np.diff(along) <= 1e-12).all()


def test_a_prior_that_rules_crossings_out_needs_no_logarithm_of_zero():
    posterior = collapse_posterior(READINGS, SHAPE, lambda models: -1e4 * models.crossing)  # exp of it is 0 from 0.1 on

    assert posterior.models.weight.sum() == pytest.approx(1)
    assert np.isfinite(posterior.models.weight).all()


def test_weights_are_marginal_likelihoods():
    models = collapse_posterior(READINGS, SHAPE).models

    def evidence(i):
        mean = curve(READINGS.t, models.crossing[i], models.steepness[i], models.offset[i])
        covariance = matern52(READINGS.t, READINGS.t, models.amplitude[i]) + np.diag(READINGS.variance)
        return multivariate_normal(mean, covariance).logpdf(READINGS.z)

    some = np.linspace(0, len(models.weight) - 1, 12).astype(int)
    expected = np.array([evidence(i) for i in some])
    np.testing.assert_allclose(np.log(models.weight[some] / models.weight[0]), expected - expected[0], atol=1e-8)
    assert models.weight.sum() == pytest.approx(1)


def test_predictions_are_conditional_normals_and_probability_their_mixture():
    posterior = collapse_posterior(READINGS, SHAPE)
    models, at = posterior.models, np.array([0.7, 1.7, 3.0])

    mean, sd = posterior.predict(at)

    means, sds = np.empty_like(mean), np.empty_like(sd)
    for i in range(len(models.weight)):
        residual = READINGS.z - curve(READINGS.t, models.crossing[i], models.steepness[i], models.offset[i])
        gain = matern52(at, READINGS.t, models.amplitude[i]) @ np.linalg.inv(
            matern52(READINGS.t, READINGS.t, models.amplitude[i]) + np.diag(READINGS.variance)
        )
        means[i] = curve(at, models.crossing[i], models.steepness[i], models.offset[i]) + gain @ residual
        prior = matern52(at, at, models.amplitude[i])
        sds[i] = np.sqrt(np.diag(prior - gain @ matern52(READINGS.t, at, models.amplitude[i])))
    np.testing.assert_allclose(mean, means, atol=1e-8)
    np.testing.assert_allclose(sd, sds, atol=1e-8)
    holds, clear = posterior.probabilities(at, (0.0, 0.3))
    np.testing.assert_allclose(holds, models.weight @ norm.cdf(means / sds), atol=1e-9)
    np.testing.assert_allclose(clear, models.weight @ norm.sf(0.3, means, sds), atol=1e-9)

    median, spread = posterior.median_and_sd(at)
    draws = np.random.default_rng(0)
    which = draws.choice(len(models.weight), 40_000, p=models.weight)
    z = draws.normal(means[which], sds[which])
    # of 40 000 draws: a median is known to 1.25 sd / 200, a standard deviation of heavy tails to a few percent
    assert (np.abs(np.median(z, axis=0) - median) < 0.03 * spread + 1e-3).all()
    np.testing.assert_allclose(z.std(axis=0), spread, rtol=0.05)


def test_a_zoomed_grid_agrees_with_a_fine_one_laid_at_once(monkeypatch):
    from condensa_core.search import semi_parametric

    at = np.linspace(1.4, 2.2, 17)
    zoomed = collapse_posterior(READINGS, SHAPE).probabilities(at, [0.0])[0]

    monkeypatch.setattr(semi_parametric, "_CROSSINGS", 3000)
    monkeypatch.setattr(semi_parametric, "_ZOOMS", 1)
    whole = collapse_posterior(READINGS, SHAPE).probabilities(at, [0.0])[0]

    # 110 crossings at once, instead of in turns, differ from the fine grid by several hundredths
    np.testing.assert_allclose(zoomed, whole, atol=0.004)


@given(st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_the_crossing_moves_with_the_readings(seed):
    draw = np.random.default_rng(seed)
    shift = draw.uniform(0.05, 0.6)
    steepness = draw.uniform(3, 20)
    t = np.array([0.8, 1.5, 2.0, 2.4])
    variance = np.full(4, 0.01)

    def median(crossing):
        posterior = collapse_posterior(Readings(t, curve(t, crossing, steepness, 0.0), variance), SHAPE)
        grid = np.linspace(0, 4.6, 800)
        return grid[np.argmax(posterior.probabilities(grid, [0.0])[0] < 0.5)]

    assert median(1.7 + shift) >= median(1.7) - 0.01


def test_probabilities_are_calibrated_on_curves_from_the_prior():
    draw = np.random.default_rng(5)
    said, held = [], []
    for _ in range(60):
        crossing, steepness = draw.uniform(0.3, 4.2), math.exp(draw.uniform(math.log(2), math.log(50)))
        amplitude = draw.choice([0.08, 0.25, 0.7])
        t = np.sort(np.concatenate([[0.0], draw.uniform(0, 4.6, 4)]))
        grid = np.clip(crossing + np.linspace(-0.6, 0.6, 13), 0, 4.6)
        everywhere = np.concatenate([t, grid])
        covariance = matern52(everywhere, everywhere, amplitude) + 1e-10 * np.eye(len(everywhere))
        z = curve(everywhere, crossing, steepness, 0.0) + np.linalg.cholesky(covariance) @ draw.normal(
            size=len(everywhere)
        )
        readings = Readings(t, z[:5] + 0.1 * draw.normal(size=5), np.full(5, 0.01))
        said.append(collapse_posterior(readings, SHAPE).probabilities(grid, [0.0])[0])
        held.append(z[5:] >= 0)
    said, held = np.concatenate(said), np.concatenate(held)

    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        inside = (said >= low) & (said <= high)
        # 13 points of a curve are worth about two independent ones: 3 standard errors of the share, at least 0.1
        margin = max(3 * math.sqrt(0.25 / max(inside.sum() / 6, 1)), 0.1)
        assert abs(said[inside].mean() - held[inside].mean()) < margin
    # what a forecaster expects of its own Brier score, if it may trust itself
    assert np.mean((said - held) ** 2) == pytest.approx(np.mean(said * (1 - said)), abs=0.04)
