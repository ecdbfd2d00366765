"""A plain Gaussian process of the collapsed metric, as published methods use it. Loads BoTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from condensa_core.randomness import Seed
from condensa_core.search.coordinates import Floats
from condensa_core.search.frames import ScaledFrame
from condensa_core.search.gaussian_process import fit_gaussian_process
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.quiet import quiet

with quiet():
    import torch
    from botorch.generation.sampling import ConstrainedMaxPosteriorSampling
    from botorch.models import SingleTaskGP
    from botorch.models.deterministic import GenericDeterministicModel
    from botorch.models.utils.gpytorch_modules import get_matern_kernel_with_gamma_prior
    from gpytorch.kernels import Kernel


@dataclass(frozen=True)
class ConstraintGP:
    """Matern-5/2 over the unit cube of -z = -asinh(margin / drop): negative where the level is held, as in BoTorch."""

    model: SingleTaskGP

    def length_scales(self) -> Floats:
        """One a knob: d."""
        kernel = self.model.covar_module.base_kernel
        return np.asarray(kernel.lengthscale.detach().reshape(-1).numpy(), dtype=np.float64)

    def thompson(self, units: Floats, gains: Floats, count: int, seed: Seed) -> NDArray[np.int_]:
        """The positions of `count` of n candidates (n x d), by constrained Thompson sampling; `gains` is n, known."""
        places = torch.from_numpy(np.ascontiguousarray(units))
        known = torch.from_numpy(np.ascontiguousarray(gains)).unsqueeze(-1)

        def objective(x: torch.Tensor) -> torch.Tensor:
            assert x.shape[-2] == len(known), "the sampler looks at all candidates at once"
            return known.expand(*x.shape[:-1], 1)

        sampler = ConstrainedMaxPosteriorSampling(
            model=GenericDeterministicModel(objective), constraint_model=self.model, replacement=False
        )
        with torch.random.fork_rng(devices=[]), torch.no_grad(), quiet():
            torch.manual_seed(seed.root)
            chosen = sampler(places, num_samples=count)
        return np.array([int(np.flatnonzero((units == row).all(axis=1))[0]) for row in chosen.numpy()], np.int_)


def fit_constraint_gp(problem: LevelProblem, observations: Sequence[Observation], seed: Seed) -> ConstraintGP:
    """The process given the successful observations and the reference, noise known per point, float64."""
    evidence = ScaledFrame(problem).evidence([o for o in observations if o.metric is not None])

    def kernel(knobs: int) -> Kernel:
        return get_matern_kernel_with_gamma_prior(knobs).double()

    process = fit_gaussian_process(
        evidence.inputs, -evidence.values, evidence.variances, kernel, standardised=False, seed=seed
    )
    return ConstraintGP(process.model)
