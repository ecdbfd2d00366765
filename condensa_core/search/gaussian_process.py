"""Gaussian processes over the unit cube. Loads BoTorch: import it only where it is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.coordinates import Floats
from condensa_core.search.kernels import MakeKernel
from condensa_core.search.quiet import quiet

with quiet():  # gpytorch compiles scripts while it is imported, which torch 2.13 deprecates
    import torch
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

_FIT_ITERATIONS = 100  # converged in all fits measured; bounds the time of one suggestion
_BELIEVED_VARIANCE = 1e-6  # of a value that was only predicted; not zero, for a stable Cholesky factor


@dataclass(frozen=True)
class GaussianProcess:
    """The posterior of a noise-free function given values at n points; `centre` and `scale` undo a standardisation."""

    model: SingleTaskGP
    centre: float = 0.0
    scale: float = 1.0

    def posterior(self, units: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation at m points of the unit cube: m x d -> m and m."""
        with torch.no_grad(), quiet():
            posterior = self.model.posterior(torch.from_numpy(np.ascontiguousarray(units)))
            mean, sd = posterior.mean.squeeze(-1).numpy(), posterior.variance.sqrt().squeeze(-1).numpy()
        return self.centre + self.scale * mean, self.scale * sd

    def believing(self, units: Floats) -> GaussianProcess:
        """This process told its own mean at m points (m x d): the mean stays, the uncertainty near them goes.

        The stand-in for trials that have not ended. Source: the kriging believer of Ginsbourger, Le Riche and
        Carraro, "Kriging is well-suited to parallelize optimization", 2010.
        """
        if len(units) == 0:
            return self
        with torch.no_grad(), quiet():
            places = torch.from_numpy(np.ascontiguousarray(units))
            self.model.posterior(places[:1])  # conditioning needs the caches that a first prediction fills
            mean = self.model.posterior(places).mean
            noise = torch.full_like(mean, _BELIEVED_VARIANCE)
            believing = self.model.condition_on_observations(places, mean, noise=noise)
        assert isinstance(believing, SingleTaskGP)
        return GaussianProcess(believing, self.centre, self.scale)


def fit_gaussian_process(
    units: Floats,
    values: Floats,
    variances: Floats | None,
    kernel: MakeKernel,
    *,
    standardised: bool,
    seed: Seed,
) -> GaussianProcess:
    """The maximum a posteriori fit to n values at n points (n x d) with a constant mean, in float64.

    `variances` are those of the values' noise; None infers one for all under BoTorch's log-normal prior, which
    supposes `standardised` values. Equal arguments give an equal process, and the caller's torch random state is left
    as it was. When the fit does not converge, the kernel keeps its initial values.
    """
    centre, scale = (float(values.mean()), float(values.std()) or 1.0) if standardised else (0.0, 1.0)
    scaled = (values - centre) / scale

    def prior_model() -> SingleTaskGP:
        return SingleTaskGP(
            _tensor(units),
            _tensor(scaled[:, None]),
            train_Yvar=None if variances is None else _tensor(variances[:, None] / scale**2),
            covar_module=kernel(units.shape[1]),
            outcome_transform=None,  # the default standardises, which scales by the collapse
        )

    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed.child("gaussian-process", len(units)).root)  # a second attempt starts from a draw
        model = prior_model()
        try:
            fit_gpytorch_mll(
                ExactMarginalLogLikelihood(model.likelihood, model),
                optimizer_kwargs={"options": {"maxiter": _FIT_ITERATIONS}},
            )
        except ModelFittingError:
            model = prior_model()
    return GaussianProcess(model.eval(), centre, scale)


def _tensor(numbers: Floats) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
