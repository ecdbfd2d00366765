"""Published strategies pick the points that their formulas say, by an independent evaluation in numpy."""

import math

import gaussian_oracle as oracle
import numpy as np
import pytest

from condensa_core.randomness import Seed
from condensa_core.search import KERNELS, Knob, Observation, Reading, Told, strategy_named
from condensa_core.search.gaussian_process import fit_gaussian_process
from condensa_core.search.kernels import kernel_maker

TRIED = [0.5, 0.7, 0.9, 0.85]
SEED = Seed(4)


def told_of(cliff, sparsities=TRIED, knee=0.8):
    metric = cliff(knee)
    return Told(tuple(Observation.of({"s": s}, Reading(metric(s))) for s in sparsities))


def fitted(x, y, variances, name, standardised):
    """Hyper-parameters of the fit: length-scales, output scale, mean, noise variance (of values as fitted)."""
    process = fit_gaussian_process(x, y, variances, kernel_maker(name), standardised=standardised, seed=SEED)
    covariance = process.model.covar_module
    noise = process.model.likelihood.noise.detach().numpy() if variances is None else variances
    return {
        "lengths": covariance.base_kernel.lengthscale.detach().numpy()[0],
        "variance": covariance.outputscale.item(),
        "mean": process.model.mean_module.constant.item(),
        "noise": noise,
    }


def scaled_data(problem, told):
    """What the study prescribes, from its own words: t = -ln(1 - s) over its largest value, asinh(margin / drop)."""
    drop = problem.reference_metric - problem.level
    t = np.array([0.0, *(-math.log1p(-o.point["s"]) for o in told.observations)]) / -math.log1p(-0.97)
    margins = np.array([drop, *(o.metric - problem.level for o in told.observations)])
    sd = np.array([0.0] + [problem.noise_sd] * len(told.observations))
    variances = np.maximum((sd / drop) ** 2 / (1 + (margins / drop) ** 2), 1e-4)
    return t[:, None], np.arcsinh(margins / drop), variances


SCORES = {
    "ils-ucb": lambda mean, sd, level, best: oracle.ils_ucb(mean, sd, level, 0.3),
    "dr-ucb": lambda mean, sd, level, best: oracle.ils_ucb(mean, sd, level, 0.3),
    "straddle": lambda mean, sd, level, best: 1.96 * sd - abs(mean - level),
    "ucb": lambda mean, sd, level, best: mean + 2.576 * sd,
    "ei": lambda mean, sd, level, best: oracle.expected_improvement(mean, sd, best),
    "pi": lambda mean, sd, level, best: oracle.probability_of_improvement(mean, sd, best),
}
OWN = {"ils-ucb": {"gamma": 0.3}, "dr-ucb": {"gamma": 0.3}}


@pytest.mark.parametrize("method", SCORES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_next_point_is_the_best_of_the_formula_over_the_grid(problem, cliff, method, kernel):
    problem, told = problem(count=60), told_of(cliff)
    x, y, variances = scaled_data(problem, told)
    grid = [r.value for r in problem.records if r.value not in TRIED]
    if method == "dr-ucb":
        grid = [s for s in grid if s > 0.7]  # 0.5 and 0.7 hold, each beyond the one before; 0.9 and 0.85 do not
    at = -np.log1p(-np.array(grid))[:, None] / -math.log1p(-0.97)
    hyper = fitted(x, y, variances, kernel, standardised=False)
    mean, sd = oracle.posterior(kernel, x, y, at=at, **hyper)
    best = oracle.posterior(kernel, x, y, at=x, **hyper)[0].max()
    scores = SCORES[method](mean, sd, 0.0, best)

    (point,) = strategy_named(method, problem, seed=SEED, kernel=kernel, **OWN.get(method, {})).propose(told, 1)

    assert point["s"] == grid[int(np.argmax(scores))]
    assert np.ptp(scores) > 1e-3  # else anything would be best


@pytest.mark.parametrize("method", SCORES)
def test_the_published_coordinates_are_sparsity_and_accuracy(problem, cliff, method):
    problem, told = problem(count=60), told_of(cliff)
    x = np.array(TRIED)[:, None] / 0.97
    raw = np.array([o.metric for o in told.observations])
    y = (raw - raw.mean()) / raw.std()
    level = (problem.level - raw.mean()) / raw.std()
    settings = [s.value for s in problem.profile.settings]  # all of them, whatever their objective, 0 included
    grid = [s for s in settings if s not in TRIED and (method != "dr-ucb" or s > 0.7)]
    hyper = fitted(x, raw, None, "matern-5/2", standardised=True)
    mean, sd = oracle.posterior("matern-5/2", x, y, at=np.array(grid)[:, None] / 0.97, **hyper)
    best = oracle.posterior("matern-5/2", x, y, at=x, **hyper)[0].max()
    scores = SCORES[method](mean, sd, level, best)

    strategy = strategy_named(method, problem, seed=SEED, coordinates="raw", **OWN.get(method, {}))

    assert strategy.propose(told, 1)[0]["s"] == grid[int(np.argmax(scores))]


def test_a_metric_that_falls_is_searched_as_its_mirror_image(problem, cliff):
    told = told_of(cliff)
    mirrored = Told(tuple(Observation.of(o.point, Reading(-o.metric)) for o in told.observations))

    for method in ("ils-ucb", "ei"):
        for coordinates in ("scaled", "raw"):
            points = [
                strategy_named(method, p, seed=SEED, coordinates=coordinates).propose(t, 2)
                for p, t in ((problem(count=60), told), (problem(count=60, better="lower"), mirrored))
            ]
            assert points[0] == points[1]


@pytest.mark.parametrize(
    ("sparsities", "lower"),
    [
        ([0.9, 0.95], 0.0),  # nothing holds: the domain stays
        ([0.5, 0.7], 0.7),
        ([0.5, 0.3], 0.5),  # 0.3 holds, but lies before the trial told before it
        ([0.5, 0.9, 0.7], 0.5),  # as published: compared with the last trial, not with the last that held
        ([0.5, 0.3, 0.4], 0.4),  # so a later trial may even widen the domain again
    ],
)
def test_dr_ucb_reduces_its_domain_as_the_algorithm_says(problem, cliff, sparsities, lower):
    problem = problem(count=40)
    strategy = strategy_named("dr-ucb", problem, seed=SEED)

    points = strategy.propose(told_of(cliff, sparsities), 99)

    proposed = [point["s"] for point in points]
    expected = {r.value for r in problem.records if r.value > lower} - set(sparsities)
    assert set(proposed) == expected
    assert len(proposed) == len(expected)


def test_kriging_believers_keep_a_batch_apart(problem, cliff):
    problem, told = problem(count=60), told_of(cliff)
    x, y, variances = scaled_data(problem, told)
    hyper = fitted(x, y, variances, "matern-5/2", standardised=False)
    values = [r.value for r in problem.records if r.value not in TRIED]

    def units(sparsities):
        return -np.log1p(-np.array(sparsities))[:, None] / -math.log1p(-0.97)

    chosen = []
    for _ in range(3):  # each told its own mean, with hyper-parameters as they were
        believed = oracle.posterior("matern-5/2", x, y, at=units(chosen), **hyper)[0] if chosen else []
        noisy = {**hyper, "noise": np.concatenate([variances, np.full(len(chosen), 1e-6)])}
        rest = [s for s in values if s not in chosen]
        mean, sd = oracle.posterior(
            "matern-5/2", np.vstack([x, units(chosen)]), np.concatenate([y, believed]), at=units(rest), **noisy
        )
        chosen.append(rest[int(np.argmax(oracle.ils_ucb(mean, sd, 0.0, 0.5)))])
    strategy = strategy_named("ils-ucb", problem, seed=SEED)

    together = strategy.propose(told, 3)
    one_by_one = strategy.propose(Told(told.observations, together[:2]), 1)

    assert [point["s"] for point in together] == chosen
    assert one_by_one == together[2:]


def test_a_flat_prior_gives_the_most_likely_kernel(problem, cliff):
    told = told_of(cliff, [0.4, 0.55, 0.7, 0.8, 0.85, 0.9, 0.95])
    x, y, variances = scaled_data(problem(), told)
    process = fit_gaussian_process(x, y, variances, kernel_maker("rbf", "flat"), standardised=False, seed=SEED)
    covariance = process.model.covar_module
    length, scale = covariance.base_kernel.lengthscale.item(), covariance.outputscale.item()
    mean = process.model.mean_module.constant.item()

    best = oracle.log_likelihood("rbf", x, y, variances, [length], scale, mean)

    for factor in (0.8, 1.25):
        assert oracle.log_likelihood("rbf", x, y, variances, [length * factor], scale, mean) < best
        assert oracle.log_likelihood("rbf", x, y, variances, [length], scale * factor, mean) < best
        assert oracle.log_likelihood("rbf", x, y, variances, [length], scale, mean + factor - 1) < best


def test_own_kernels_are_used(problem, cliff):
    from gpytorch.kernels import CosineKernel, MaternKernel, ScaleKernel

    told = told_of(cliff)
    made = []

    def rough(knobs):
        made.append(knobs)
        return ScaleKernel(MaternKernel(nu=0.5, ard_num_dims=knobs))

    by_function = strategy_named("straddle", problem(), seed=SEED, kernel=rough).propose(told, 2)
    by_name = strategy_named("straddle", problem(), seed=SEED, kernel="matern-1/2", prior="flat").propose(told, 2)
    by_object = strategy_named("straddle", problem(), seed=SEED, kernel=ScaleKernel(CosineKernel())).propose(told, 2)

    assert made and set(made) == {1}
    assert len({str(by_name), str(by_function), str(by_object)}) > 1


def test_one_more_knob_is_one_more_length_scale():
    kernel = kernel_maker("matern-3/2", "log-normal")(3)

    assert kernel.base_kernel.lengthscale.shape == (1, 3)
    assert str(kernel.base_kernel.lengthscale.dtype) == "torch.float64"
    # the mode of LogNormal(mu, sd) is exp(mu - sd^2): BoTorch's own prior for d dimensions
    assert kernel.base_kernel.lengthscale_prior.loc.item() == pytest.approx(math.sqrt(2) + math.log(3) / 2)


def test_several_knobs_are_searched_by_score(cliff):
    from condensa_core.search import LevelProblem, Space

    a, b = Knob("a", range=(0.0, 0.9), step=0.1), Knob("b", choices=(1, 2, 4))

    class Speed:
        reference, direction, margin, name = 1.0, "maximize", 0.0, "speed"

        def gain(self, objective, over):
            return objective / over - 1

        def at(self, point):
            return 1.0

        def estimate(self, units):
            return 1 + units.sum(1)

    problem = LevelProblem(Space((a, b)), Speed(), 0.9, 0.93)
    strategy = strategy_named("ils-ucb", problem, seed=SEED)
    told = Told()
    for _ in range(9):
        (point,) = strategy.propose(told, 1)
        told = Told((*told.observations, Observation.of(point, Reading(0.94 - 0.1 * point["a"] - 0.01 * point["b"]))))

    assert len({str(o.point) for o in told.observations}) == 9
    assert all(o.point["b"] in (1, 2, 4) for o in told.observations)
