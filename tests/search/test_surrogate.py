"""The surrogate against the textbook formulas of a Gaussian process, in numpy."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm

from condensa_core.randomness import Seed
from condensa_core.search import Observation, Reading
from condensa_core.search.coordinates import collapse, collapse_variance
from condensa_core.search.surrogate import fit_surrogate

AT = np.array([[0.3], [0.6]])


@pytest.fixture
def fitted(problem):
    """A problem, its observations, and the surrogate of them."""
    tried = ((0.5, 0.931), (0.8, 0.918), (0.9, 0.4))
    observations = [Observation.of({"s": s}, Reading(y, sd=0.002)) for s, y in tried]
    return problem(), observations, fit_surrogate(problem(), observations, Seed(1))


def textbook_posterior(problem, observations, surrogate, at):
    """Mean and sd of f at `at`: Rasmussen and Williams, equations 2.25 and 2.26, with a constant mean."""
    kernel = surrogate.model.covar_module
    scale, length = kernel.outputscale.item(), kernel.base_kernel.lengthscale.item()
    constant = surrogate.model.mean_module.constant.item()

    def matern52(a, b):
        r = math.sqrt(5) * np.abs(a[:, None] - b[None, :]) / length
        return scale * (1 + r + r**2 / 3) * np.exp(-r)

    x = np.array([0.0, *(problem.units(o.point)[0] for o in observations)])
    z = np.array([math.asinh(1.0), *(math.asinh((o.metric - 0.92) / 0.01) for o in observations)])
    noise = [1e-4, *((0.2**2 / (1 + ((o.metric - 0.92) / 0.01) ** 2)) for o in observations)]
    gain = matern52(at, x) @ np.linalg.inv(matern52(x, x) + np.diag(np.maximum(noise, 1e-4)))
    mean = constant + gain @ (z - constant)
    return mean, np.sqrt(np.diag(matern52(at, at) - gain @ matern52(x, at)))


def test_probability_and_score_follow_the_formulas(fitted):
    problem, observations, surrogate = fitted
    at = np.linspace(0.05, 0.95, 10)

    mean, sd = textbook_posterior(problem, observations, surrogate, at)

    # 1e-6: gpytorch solves by Cholesky with a jitter of that order
    np.testing.assert_allclose(surrogate.probability_feasible(at[:, None]), norm.cdf(mean / sd), atol=1e-5)
    for gamma in (0.0, 0.8, 1.0):
        expected = (1 - gamma) * sd - gamma * np.abs(mean)
        np.testing.assert_allclose(surrogate.level_scores(at[:, None], gamma), expected, atol=1e-5)


def test_fit_repeats_and_leaves_the_random_state_alone(fitted):
    import torch

    problem, observations, surrogate = fitted
    torch.manual_seed(5)
    expected = torch.rand(3)

    torch.manual_seed(5)
    again = fit_surrogate(problem, observations, Seed(1))

    assert torch.equal(torch.rand(3), expected)
    assert again.probability_feasible(AT).tolist() == surrogate.probability_feasible(AT).tolist()


def test_a_fit_that_does_not_converge_keeps_the_prior(fitted, monkeypatch):
    from botorch.exceptions.errors import ModelFittingError

    from condensa_core.search import surrogate as module

    def hopeless(mll, **settings):
        mll.model.covar_module.outputscale = 1e-9  # half-moved hyper-parameters must not survive
        raise ModelFittingError

    problem, observations, _ = fitted
    monkeypatch.setattr(module, "fit_gpytorch_mll", hopeless)

    low, high = fit_surrogate(problem, observations, Seed(1)).probability_feasible(np.array([[0.1], [1.0]]))

    assert low > 0.9 and high < 0.1


def test_failed_trials_do_not_move_the_surrogate(fitted):
    problem, observations, surrogate = fitted

    again = fit_surrogate(problem, [*observations, Observation.failed({"s": 0.6}, "NaN")], Seed(1))

    assert again.probability_feasible(AT).tolist() == surrogate.probability_feasible(AT).tolist()


def test_collapse_is_zero_at_the_level_and_its_variance_matches_sampling():
    assert collapse(0.0, 0.01) == 0.0
    assert collapse(0.01, 0.01) == pytest.approx(math.log(1 + math.sqrt(2)))  # asinh(1) in closed form
    draws = np.random.default_rng(0).normal(0, 1, 200_000)
    for margin in (0.01, 0.0, -0.03, -0.5):
        sampled = np.arcsinh((margin + 0.0005 * draws) / 0.01).var()
        # 3 %: the delta method is first order, and 200 000 draws know a variance to 0.3 %
        assert collapse_variance(margin, 0.0005, 0.01) == pytest.approx(max(sampled, 1e-4), rel=0.03)


def test_importing_search_loads_neither_torch_nor_botorch():
    code = (
        "import sys, condensa_core.search as search\n"
        "assert 'scipy' not in sys.modules\n"
        "from condensa_core.randomness import Seed\n"
        "knob = search.Knob('s', range=(0, 0.9))\n"
        "profile = search.ObjectiveProfile.measured(knob, [(s, 1 / (1 - s)) for s in knob.grid(9)], 1.0)\n"
        "problem = search.LevelProblem(search.Space((knob,)), profile, 0.9, 0.93)\n"
        "assert search.Search(problem, search.LevelSetSearch(problem), budget=3).ask()\n"
        "heavy = {'torch', 'botorch', 'gpytorch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )

    assert subprocess.run([sys.executable, "-W", "error", "-c", code]).returncode == 0
