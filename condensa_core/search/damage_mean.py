"""What damages of single knobs say about the metric, as a prior of a Gaussian process. Loads BoTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from condensa_core.search.quiet import quiet
from condensa_core.search.sensitivity import Sensitivity

with quiet():
    import torch
    from gpytorch.kernels import Kernel
    from gpytorch.means import Mean
    from gpytorch.priors import NormalPrior

_LEAST_DAMAGE = 1e-12  # of a knob at rest, whose logarithm must exist


@dataclass(frozen=True)
class DamagePrior:
    """How far a sensitivity pass may be wrong, as standard deviations of the parameters of `DamageMean`.

    `repaired` (with mean `repair`): log share of all damage that remains after training; `misjudged`: the same for one
    knob against the others; `bent`, `bent_alone`: log of the power to which training raises damages.
    """

    repair: float = -2.0
    repaired: float = 2.0
    misjudged: float = 1.0
    bent: float = 0.2
    bent_alone: float = 0.3

    def sds(self, knobs: int) -> torch.Tensor:
        """Per entry of the parameter vector: 2 + 2 d."""
        alone = [self.misjudged] * knobs + [self.bent_alone] * knobs
        return torch.tensor([self.repaired, self.bent, *alone], dtype=torch.float64)

    def means(self, knobs: int) -> torch.Tensor:
        """Per entry of the parameter vector: 2 + 2 d."""
        return torch.tensor([self.repair] + [0.0] * (2 * knobs + 1), dtype=torch.float64)


class DamageMean(Mean):
    """z = asinh(1 - span D / (1 + D)), D = sum_i (1 / span) (e^(a + c_i) span D_i)^(p_i): a collapse, knob by knob.

    D_i is the damage the sensitivity pass shows for knob i alone. Training repairs much of it (a), of some knobs more
    than of others (c_i), and bends it (log p_i = b + b_i), around a loss of one drop, where 1 + D is about 1. The
    parameter vector is theta = (a, b, c_1..c_d, b_1..b_d), normal a priori.
    """

    def __init__(self, sensitivity: Sensitivity, prior: DamagePrior) -> None:
        super().__init__()
        d = len(sensitivity.knobs)
        self.sensitivity = sensitivity
        self.register_parameter("theta", torch.nn.Parameter(prior.means(d)))
        self.register_prior("theta_prior", NormalPrior(prior.means(d), prior.sds(d)), "theta")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """... n x d -> ... n."""
        return self._parts(x)[0]

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """The derivatives of the mean by theta: ... n x d -> ... n x (2 + 2 d)."""
        with torch.no_grad():
            _, slope, weights, powers, logs = self._parts(x)
            moved = weights * powers
            bent = moved * logs
            rows = torch.cat([moved.sum(-1, keepdim=True), bent.sum(-1, keepdim=True), moved, bent], dim=-1)
            return slope.unsqueeze(-1) * rows

    def _parts(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """z, dz / d log D, each knob's share of D, its power, and its log loss in drops before the power."""
        log_span = math.log(self.sensitivity.span)
        d = x.shape[-1]
        a, b, alone, bent = self.theta[0], self.theta[1], self.theta[2 : 2 + d], self.theta[2 + d :]
        logs = self._log_damages(x) + (log_span + a + alone)
        powers = (b + bent).exp().expand_as(logs)
        each = powers * logs - log_span
        total = torch.logsumexp(each, dim=-1)
        share = torch.sigmoid(total)
        left = 1.0 - self.sensitivity.span * share
        slope = -self.sensitivity.span * share * (1 - share) / (1 + left**2).sqrt()
        return torch.asinh(left), slope, torch.softmax(each, dim=-1), powers, logs

    def _log_damages(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.detach().reshape(-1, x.shape[-1]).numpy()
        at_rest = self.sensitivity.log_damages(np.zeros((1, rows.shape[1])))
        more = np.maximum(np.expm1(self.sensitivity.log_damages(rows) - at_rest), _LEAST_DAMAGE)
        return torch.from_numpy(np.log(more) + at_rest).reshape(x.shape)


class LinearisedMean(Mean):
    """The mean of `DamageMean` over its prior, when it is linear in theta around the fitted value."""

    def __init__(self, fitted: DamageMean, prior: DamagePrior) -> None:
        super().__init__()
        self.fitted = fitted
        with torch.no_grad():
            self.register_buffer("back", prior.means((len(fitted.theta) - 2) // 2) - fitted.theta)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """... n x d -> ... n."""
        with torch.no_grad():
            return self.fitted(x) + self.fitted.jacobian(x) @ self.back


class ParameterKernel(Kernel):
    """J(x) S J(x')^T: the covariance that uncertain parameters of `DamageMean` give, S their prior covariance.

    With it the posterior is that of the linearised model (the Gauss-Newton form of Laplace's approximation): what the
    trials do not tell about a knob stays uncertain, instead of being taken at its likeliest value.
    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 2.7 (explicit basis).
    """

    def __init__(self, fitted: DamageMean, prior: DamagePrior) -> None:
        super().__init__()
        self.fitted = fitted
        self.register_buffer("sds", prior.sds((len(fitted.theta) - 2) // 2))

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **params: object) -> torch.Tensor:
        """... n x d, ... m x d -> ... n x m, or ... n with `diag`."""
        first, second = self.fitted.jacobian(x1) * self.sds, self.fitted.jacobian(x2) * self.sds
        return (first * second).sum(-1) if diag else first @ second.transpose(-1, -2)
