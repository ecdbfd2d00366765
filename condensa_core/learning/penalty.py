"""The augmented-Lagrangian term of the L step, added to the gradients and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Penalty:
    """Adds the gradient of mu/2 ||w - t||^2 to `.grad` of the given parameters, where t = Delta(Theta) + lambda/mu.

    That is mu (w - Delta(Theta)) - lambda, the whole of what the augmented Lagrangian adds to the loss gradient. Two
    fused passes over the parameters, no autograd node, no allocation: the product mu t is formed once per L step.
    Source: Carreira-Perpinan, arXiv:1707.01209, eq. (3).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], targets: Sequence[Tensor], mu: float) -> None:
        self._parameters = list(parameters)
        self._weights: list[Tensor] = list(parameters)
        self._targets = list(targets)
        self._mu = mu
        self._scaled_targets = [target * mu for target in targets]

    @torch.no_grad()
    def draw(self, rate: float) -> None:
        """Move the weights by `rate` (0..1) of their distance to t: the penalty apart from the optimizer's step."""
        torch._foreach_lerp_(self._weights, self._targets, rate)

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Call between `backward()` and `optimizer.step()`; every parameter must have a gradient."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        torch._foreach_add_(gradients, self._weights, alpha=self._mu)
        torch._foreach_add_(gradients, self._scaled_targets, alpha=-1.0)
