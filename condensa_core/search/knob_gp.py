"""A Gaussian process of the collapsed metric over several knobs. Loads BoTorch: import it only where it is used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.coordinates import Floats
from condensa_core.search.damage_mean import DamageMean, DamagePrior, LinearisedMean, ParameterKernel
from condensa_core.search.frames import Evidence, ScaledFrame
from condensa_core.search.gaussian_process import GaussianProcess
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.quiet import quiet
from condensa_core.search.sensitivity import measured_sensitivity, typical_sensitivity

with quiet():
    import torch
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
    from gpytorch.kernels import Kernel, ScaleKernel
    from gpytorch.means import Mean
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.priors import LogNormalPrior

_FIT_ITERATIONS = 60  # bounds the time of one suggestion; the parameters that matter have settled
_LEAST_VARIANCE = 1e-10
_AMPLITUDE = 0.3  # of the residual in z, a priori: a third of the way from the reference to the level
_UNMEASURED = DamagePrior(repair=0.0, misjudged=2.0, bent_alone=0.4)


@dataclass(frozen=True)
class KnobGP:
    """The belief over several knobs: a Gaussian process of z = asinh(margin / drop) in the unit cube."""

    process: GaussianProcess

    def margins(self, units: Floats) -> tuple[Floats, Floats]:
        """Median and standard deviation of z at n points (n x d -> n and n)."""
        mean, sd = self.process.posterior(units)
        return mean, np.maximum(np.nan_to_num(sd), math.sqrt(_LEAST_VARIANCE))

    def probability_feasible(self, units: Floats) -> Floats:
        """P(the noise-free metric holds the level) at n points: n x d -> n."""
        from scipy.special import ndtr

        mean, sd = self.margins(units)
        return np.asarray(ndtr(mean / sd), dtype=np.float64)

    def believing(self, units: Floats) -> KnobGP:
        """The belief as if trials at these m x d points had come out at their medians."""
        return KnobGP(self.process.believing(units))


def fit_knob_gp(problem: LevelProblem, observations: Sequence[Observation], seed: Seed) -> KnobGP:
    """The GP given the successful observations and the reference, noise known per point, float64.

    Mean: the damages of the knobs by the problem's sensitivity pass, added up (`DamageMean`); without a pass all knobs
    are taken to be alike, and held more loosely. Residual: Matern-5/2 with a length-scale a knob, dimension-scaled
    log-normal priors (Hvarfner et al., ICML 2024). Fitted maximum a posteriori; then the mean's parameters are given
    back their uncertainty (`ParameterKernel`). Equal arguments give an equal belief, and torch's random state is left
    as it was.
    """
    evidence = ScaledFrame(problem).evidence([o for o in observations if o.metric is not None])
    if problem.sensitivity is None:
        sensitivity, prior = typical_sensitivity(problem), _UNMEASURED
    else:
        sensitivity, prior = measured_sensitivity(problem, problem.sensitivity), DamagePrior()
    d = len(problem.space.knobs)
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed.child("knob-gp", len(evidence.values)).root)
        mean, residual = DamageMean(sensitivity, prior), _residual(d)
        model = _model(evidence, mean, residual)
        try:
            fit_gpytorch_mll(
                ExactMarginalLogLikelihood(model.likelihood, model),
                optimizer_kwargs={"options": {"maxiter": _FIT_ITERATIONS}},
            )
        except ModelFittingError:
            mean, residual = DamageMean(sensitivity, prior), _residual(d)
        fitted = _model(evidence, LinearisedMean(mean, prior), residual + ParameterKernel(mean, prior))
    return KnobGP(GaussianProcess(fitted.eval()))


def _residual(knobs: int) -> Kernel:
    base = get_covar_module_with_dim_scaled_prior(ard_num_dims=knobs, use_rbf_kernel=False)
    kernel = ScaleKernel(base, outputscale_prior=LogNormalPrior(2 * math.log(_AMPLITUDE), 0.7))
    kernel.outputscale = _AMPLITUDE**2
    return kernel.double()


def _model(evidence: Evidence, mean: Mean, kernel: Kernel) -> SingleTaskGP:
    assert evidence.variances is not None
    return SingleTaskGP(
        torch.from_numpy(evidence.inputs),
        torch.from_numpy(evidence.values).unsqueeze(-1),
        train_Yvar=torch.from_numpy(evidence.variances).unsqueeze(-1),
        covar_module=kernel,
        mean_module=mean,
        outcome_transform=None,  # the default standardises, which scales by the collapse
    )
