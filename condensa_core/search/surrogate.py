"""A Gaussian process of the collapsed metric over the unit coordinate. Loads BoTorch: import it only where used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.acquisitions import ils_ucb
from condensa_core.search.coordinates import Floats, collapse, collapse_variance
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.quiet import quiet

with quiet():  # gpytorch compiles scripts while it is imported, which torch 2.13 deprecates
    import torch
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.utils.gpytorch_modules import get_matern_kernel_with_gamma_prior
    from gpytorch.mlls import ExactMarginalLogLikelihood

_FIT_ITERATIONS = 100  # converged in all fits measured; bounds the time of one suggestion


@dataclass(frozen=True)
class Surrogate:
    """What the observations say about the metric at settings nobody trained."""

    model: SingleTaskGP

    def probability_feasible(self, units: Floats) -> Floats:
        """P(metric holds the level) of the noise-free metric at each of n points, n x 1 -> n."""
        mean, sd = self.margins(units)
        return np.array([NormalDist().cdf(score) for score in mean / sd])

    def margins(self, units: Floats) -> tuple[Floats, Floats]:
        """Mean (also the median) and standard deviation of z at each of n points, n x 1 -> n and n."""
        with torch.no_grad(), quiet():
            posterior = self.model.posterior(torch.from_numpy(units))
            return posterior.mean.squeeze(-1).numpy(), posterior.variance.sqrt().squeeze(-1).numpy()

    def level_scores(self, units: Floats, gamma: float) -> Floats:
        """The ILS-UCB score of each of n points (n x 1 -> n): how much a trial there would tell of the level."""
        mean, sd = self.margins(units)
        return ils_ucb(mean, sd, level=0.0, gamma=gamma)


def fit_surrogate(problem: LevelProblem, observations: Sequence[Observation], seed: Seed) -> Surrogate:
    """The GP of asinh(margin / drop) over the unit coordinate, given the successful observations and the reference.

    Matern-5/2 with gamma priors on length-scale and output scale, maximum a posteriori, noise known per point, float64.
    Equal arguments give an equal surrogate; the caller's torch random state is left as it was. When the fit does not
    converge, the kernel keeps its prior's modes.
    """
    drop = problem.drop
    known = [(o, problem.margin(o.metric)) for o in observations if o.metric is not None]
    units = [0.0, *(problem.units(o.point)[0] for o, _ in known)]
    values = [
        collapse(problem.margin(problem.reference_metric), drop),
        *(collapse(margin, drop) for _, margin in known),
    ]
    noises = [
        collapse_variance(problem.margin(problem.reference_metric), 0.0, drop),  # the level is defined from it
        *(collapse_variance(margin, problem.sd(o), drop) for o, margin in known),
    ]
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed.child("surrogate", len(known)).root)  # a second attempt at a fit starts from a draw
        model = _model(units, values, noises)
        try:
            fit_gpytorch_mll(
                ExactMarginalLogLikelihood(model.likelihood, model),
                optimizer_kwargs={"options": {"maxiter": _FIT_ITERATIONS}},
            )
        except ModelFittingError:
            model = _model(units, values, noises)
    return Surrogate(model.eval())


def _model(units: Sequence[float], values: Sequence[float], noises: Sequence[float]) -> SingleTaskGP:
    return SingleTaskGP(
        _column(units),
        _column(values),
        train_Yvar=_column(noises),
        covar_module=get_matern_kernel_with_gamma_prior(1).double(),
        outcome_transform=None,  # the default standardises, which scales by the collapse
    )


def _column(numbers: Sequence[float]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(-1)  # n x 1
