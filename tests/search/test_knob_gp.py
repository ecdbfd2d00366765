"""The Gaussian process over several knobs against plain linear algebra."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from condensa_core.randomness import Seed
from condensa_core.search import Knob, LevelProblem, ObjectiveSurface, Observation, Reading, Space, belief_of
from condensa_core.search.coordinates import collapse, collapse_variance
from condensa_core.search.damage_mean import DamageMean, DamagePrior
from condensa_core.search.knob_gp import fit_knob_gp
from condensa_core.search.sensitivity import measured_sensitivity

DENSE, DROP, NOISE = 0.93, 0.01, 0.001
SPACE = Space((Knob("a", range=(0.0, 0.95)), Knob("b", range=(0.0, 0.95)), Knob("bits", choices=(32, 16, 8))))
READINGS = {"a": [(0.3, 0.925), (0.6, 0.9), (0.8, 0.7)], "b": [(0.3, 0.92), (0.5, 0.8), (0.7, 0.3)]}


def metric(point) -> float:
    """Damages of three knobs that add up and saturate."""
    a, b = -math.log1p(-point["a"]), -math.log1p(-point["b"])
    damage = 0.0004 * math.expm1(3 * a) + 0.0008 * math.expm1(5 * b) + {32: 0, 16: 0, 8: 0.003}[point["bits"]]
    return 0.1 + (DENSE - 0.1) / (1 + damage)


def problem(told: bool = True) -> LevelProblem:
    surface = ObjectiveSurface(SPACE, 1.0, function=lambda p: 1 / ((2.0 - p["a"] - p["b"]) / 2 * p["bits"] / 32))
    return LevelProblem(SPACE, surface, DENSE - DROP, DENSE, noise_sd=NOISE, sensitivity=READINGS if told else None)


def rows(count: int, seed: int, strongest: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, strongest, (count, 3))


def trials(count: int, seed: int = 0) -> list[Observation]:
    rng = np.random.default_rng(seed)
    points = [SPACE.decode(row) for row in rows(count, seed)]
    return [Observation.of(p, Reading(metric(p) + NOISE * rng.standard_normal())) for p in points]


def z_of(points) -> np.ndarray:
    return np.array([collapse(metric(p) - (DENSE - DROP), DROP) for p in points])


@pytest.mark.parametrize("told", [True, False])
def test_the_derivatives_of_the_mean_are_those_of_autograd(told):
    sensitivity = measured_sensitivity(problem(), READINGS if told else {})
    mean = DamageMean(sensitivity, DamagePrior())
    with torch.no_grad():
        mean.theta += 0.3 * torch.randn(8, generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(rows(5, 1))

    by_hand = mean.jacobian(x)

    by_torch = torch.stack([torch.autograd.grad(mean(x)[i], mean.theta)[0] for i in range(5)])
    torch.testing.assert_close(by_hand, by_torch, rtol=1e-8, atol=1e-10)


def test_the_reference_is_at_one_drop_whatever_the_parameters():
    mean = DamageMean(measured_sensitivity(problem(), READINGS), DamagePrior())

    at_rest = mean(torch.zeros(1, 3, dtype=torch.float64))

    assert at_rest.item() == pytest.approx(math.asinh(1.0), abs=1e-6)


def test_the_posterior_is_that_of_the_linearised_model_by_plain_linear_algebra():
    observations = trials(9)
    gp = fit_knob_gp(problem(), observations, Seed())
    model = gp.process.model
    mean, residual = model.mean_module.fitted, model.covar_module.kernels[0]
    x = np.vstack([np.zeros((1, 3)), [SPACE.encode(o.point) for o in observations]])
    margins = [DROP, *(o.metric - (DENSE - DROP) for o in observations)]
    z = np.array([collapse(m, DROP) for m in margins])
    noise = np.array([collapse_variance(m, sd, DROP) for m, sd in zip(margins, [0.0] + 9 * [NOISE], strict=True)])
    new = rows(20, 5)

    found = gp.margins(new)

    prior = DamagePrior()
    sds = np.array([prior.repaired, prior.bent] + 3 * [prior.misjudged] + 3 * [prior.bent_alone])
    expected = np.array([prior.repair] + 7 * [0.0])
    lengths = residual.base_kernel.lengthscale.detach().numpy()

    def kernel(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        r = math.sqrt(5) * np.linalg.norm((p[:, None] - q[None]) / lengths, axis=2)
        matern = residual.outputscale.item() * (1 + r + r**2 / 3) * np.exp(-r)
        return matern + (jacobian(p) * sds**2) @ jacobian(q).T

    def jacobian(p: np.ndarray) -> np.ndarray:
        return mean.jacobian(torch.from_numpy(p)).numpy()

    def prior_mean(p: np.ndarray) -> np.ndarray:
        fitted = mean(torch.from_numpy(p)).detach().numpy()
        return fitted + jacobian(p) @ (expected - mean.theta.detach().numpy())

    gain = np.linalg.solve(kernel(x, x) + np.diag(noise), kernel(x, new)).T
    np.testing.assert_allclose(found[0], prior_mean(new) + gain @ (z - prior_mean(x)), atol=1e-4)
    variances = np.diag(kernel(new, new)) - (gain * kernel(new, x)).sum(axis=1)
    np.testing.assert_allclose(found[1], np.sqrt(variances), atol=1e-4)


def test_it_predicts_what_it_was_not_told_within_its_own_uncertainty():
    unseen = [SPACE.decode(row) for row in rows(60, 7)]
    truth = z_of(unseen)

    mean, sd = fit_knob_gp(problem(), trials(15), Seed()).margins(np.array([SPACE.encode(p) for p in unseen]))

    assert np.median(np.abs(mean - truth)) < 0.1
    assert np.mean(np.abs(mean - truth) < 2 * sd) > 0.8


def test_more_trials_make_it_surer():
    elsewhere = rows(20, 3)

    few, many = (fit_knob_gp(problem(), trials(n), Seed()).margins(elsewhere)[1].mean() for n in (4, 16))

    assert many < 0.7 * few


def test_the_probability_of_feasibility_is_calibrated_near_the_level():
    brier, places = [], rows(200, 11, 0.4)
    feasible = z_of([SPACE.decode(row) for row in places]) >= 0

    for seed in range(4):
        p = fit_knob_gp(problem(), trials(10, seed), Seed()).probability_feasible(places)
        brier.append(np.mean((p - feasible) ** 2))

    assert np.mean(brier) < 0.05  # always saying the true share would give 0.2


def test_equal_arguments_give_an_equal_belief_and_leave_torch_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)

    first, second = (fit_knob_gp(problem(), trials(5), Seed(2)).margins(rows(4, 1)) for _ in range(2))

    np.testing.assert_array_equal(first, second)
    torch.testing.assert_close(torch.rand(3), expected)


def test_believing_pending_trials_keeps_medians_and_takes_uncertainty_away():
    gp, pending = fit_knob_gp(problem(), trials(6), Seed()), rows(2, 4)

    believing = gp.believing(pending)

    np.testing.assert_allclose(believing.margins(pending)[0], gp.margins(pending)[0], atol=1e-3)
    assert (believing.margins(pending)[1] < 0.3 * gp.margins(pending)[1]).all()
    assert gp.believing(np.empty((0, 3))).process is gp.process


def test_it_is_the_belief_of_every_problem_with_several_knobs_failed_trials_left_out():
    observations = trials(5)
    failed = Observation.failed(SPACE.decode([0.9, 0.9, 1.0]), "diverged")

    belief = belief_of(problem(told=False), [*observations, failed], Seed())

    expected = fit_knob_gp(problem(told=False), observations, Seed()).margins(rows(3, 0))
    np.testing.assert_array_equal(belief.margins(rows(3, 0)), expected)


def test_a_lower_metric_is_better_when_the_problem_says_so():
    surface = problem().profile
    loss = LevelProblem(SPACE, surface, 1.1, 1.0, better="lower", noise_sd=0.01)
    told = [Observation.of(SPACE.decode(row), Reading(1.0 + row.sum() ** 2)) for row in rows(8, 0)]

    mean, _ = fit_knob_gp(replace(loss), told, Seed()).margins(np.array([[0.0, 0.0, 0.25], [0.5, 0.5, 1.0]]))

    assert mean[0] > 0 > mean[1]
