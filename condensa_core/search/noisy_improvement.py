"""BoTorch's noisy expected improvements over rows of a mixed space. Loads BoTorch: import it only where it is used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.constraint_gp import ConstraintGP
from condensa_core.search.coordinates import Floats
from condensa_core.search.gaussian_process import fit_gaussian_process
from condensa_core.search.kernels import kernel_maker
from condensa_core.search.quiet import quiet

with quiet():
    import torch
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
    from botorch.acquisition.objective import GenericMCObjective
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.sampling.normal import SobolQMCNormalSampler

_SAMPLES = 64
_OBJECTIVE_VARIANCE = 1e-4  # of log objectives, standardised: a measured ratio is good to about 1 %

Score = Callable[[Floats], Floats]


def log_noisy_improvement(
    constraint: ConstraintGP, rows: Floats, gains: Floats, baseline: Floats, pending: Floats, seed: Seed
) -> Score:
    """Scores n x d rows by qLogNEI of a modelled objective under the constraint that the metric holds its level.

    `gains` are the log gains at `rows` (both of trials that ended), `baseline` the places whose posterior is the
    incumbent's, `pending` those of open trials.
    Source: Ament et al., NeurIPS 2023; Letham et al., Bayesian Analysis 2019 (noisy constrained EI).
    """
    variances = np.full(len(gains), _OBJECTIVE_VARIANCE * max(float(gains.var()), 1e-6))
    objective = fit_gaussian_process(rows, gains, variances, kernel_maker(), standardised=True, seed=seed)
    with quiet():
        acquisition = qLogNoisyExpectedImprovement(
            model=ModelListGP(objective.model, constraint.model),
            X_baseline=_tensor(baseline),
            X_pending=_tensor(pending) if len(pending) else None,
            sampler=_sampler(seed),
            objective=GenericMCObjective(lambda samples, X: samples[..., 0]),
            constraints=[lambda samples: samples[..., 1]],
            prune_baseline=False,
        )
    return _scored(acquisition)


def log_hypervolume_improvement(
    model: SingleTaskGP,
    outcomes: Callable[[Floats], Floats],
    baseline: Floats,
    pending: Floats,
    seed: Seed,
    *,
    metric_is_outcome: bool,
) -> Score:
    """Scores n x d rows by qLogNEHVI of k known outcomes and a modelled metric.

    `model` is of z; `outcomes` gives n x d -> n x k, known, more is better. The metric is one more outcome, its margin
    in drops, or a constraint alone, z >= 0. The hypervolume is measured from zero in all of them.
    Source: Daulton, Balandat and Bakshy, NeurIPS 2021 (qNEHVI); Ament et al., NeurIPS 2023 (its logarithm).
    """
    known: dict[bytes, Floats] = {}
    count = outcomes(baseline[:1]).shape[1] + metric_is_outcome

    def at(x: torch.Tensor) -> torch.Tensor:
        """The known outcomes at ... x d places, looked up where they were seen before."""
        places = x.detach().reshape(-1, x.shape[-1]).numpy()
        keys = [row.tobytes() for row in places]
        new = [i for i, key in enumerate(keys) if key not in known]
        if new:
            known.update(zip((keys[i] for i in new), outcomes(places[new]), strict=True))
        return torch.from_numpy(np.stack([known[key] for key in keys])).reshape(*x.shape[:-1], -1)

    def objective(samples: torch.Tensor, X: torch.Tensor | None = None) -> torch.Tensor:
        assert X is not None
        fixed = at(X).expand(*samples.shape[:-1], -1)  # samples x ... x q x k
        return torch.cat([fixed, samples.sinh()], dim=-1) if metric_is_outcome else fixed + 0 * samples

    with quiet():
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model=model,
            ref_point=[0.0] * count,
            X_baseline=_tensor(baseline),
            X_pending=_tensor(pending) if len(pending) else None,
            sampler=_sampler(seed),
            objective=GenericMCMultiOutputObjective(objective),
            constraints=None if metric_is_outcome else [lambda samples: -samples[..., 0]],
            prune_baseline=False,
            cache_root=False,
        )
    return _scored(acquisition)


def _scored(acquisition: torch.nn.Module) -> Score:
    def score(rows: Floats) -> Floats:
        with torch.no_grad(), quiet():
            return np.asarray(acquisition(_tensor(rows).unsqueeze(-2)).numpy(), dtype=np.float64)

    return score


def _sampler(seed: Seed) -> SobolQMCNormalSampler:
    return SobolQMCNormalSampler(torch.Size([_SAMPLES]), seed=seed.root % 2**31)


def _tensor(rows: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float64))
