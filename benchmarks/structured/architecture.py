"""What the benchmark knows of an architecture: how to build it with random weights, and what to feed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

CLASSES = 37  # a size of nothing else: the output layer, which Torch-Pruning has to be told, is recognised by it

Inputs = tuple[Any, ...]


@dataclass(frozen=True)
class Architecture:
    """Nothing is downloaded: `build` makes random weights, `inputs` random samples, two at a time."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]

    def prepared(self) -> tuple[nn.Module, Inputs]:
        """The model in evaluation mode, and its inputs; the same at every call."""
        torch.manual_seed(0)
        model = self.build().eval()
        randomise(model)
        return model, self.inputs()


def image(size: int = 96) -> Callable[[], Inputs]:
    return lambda: (torch.randn(2, 3, size, size),)


def tokens(length: int = 12) -> Callable[[], Inputs]:
    return lambda: (torch.randint(3, 90, (2, length)),)


def noise(*shapes: tuple[int, ...]) -> Callable[[], Inputs]:
    return lambda: tuple(torch.randn(shape) for shape in shapes)


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Moves everything that starts at 0 or 1 away from it, so that a forgotten shift or a wrong index shows.

    Norms' weights, biases and statistics, layer scales and zero tables become random. Linear weights drawn much smaller
    than their fan-in asks for are scaled up to it: at a standard deviation of 0.02 attention is uniform, and hides
    errors.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor, scale: float) -> Tensor:
        return torch.randn(like.shape, generator=generator) * scale

    def uniform(like: Tensor, low: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * 0.5 + low

    with torch.no_grad():
        for module in model.modules():
            is_norm = isinstance(module, nn.GroupNorm | nn.LayerNorm) or "Norm" in type(module).__name__
            for name, parameter in module.named_parameters(recurse=False):
                if is_norm and parameter.ndim == 1:
                    parameter.copy_(uniform(parameter, 0.75) if name == "weight" else normal(parameter, 0.1))
                elif "bias" in name and parameter.ndim == 1:
                    parameter.copy_(normal(parameter, 0.1))
                elif name in ("gamma", "layer_scale", "weight_g"):
                    parameter.copy_(uniform(parameter, 0.5))
                elif parameter.numel() and bool((parameter == parameter.flatten()[0]).all()):
                    parameter.add_(normal(parameter, 0.2))
            if isinstance(module, nn.Linear):
                spread = module.in_features**-0.5
                if 0 < module.weight.std() < 0.7 * spread:
                    module.weight.mul_(spread / module.weight.std())
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                assert module.running_var is not None
                module.running_mean.copy_(normal(module.running_mean, 0.1))
                module.running_var.copy_(uniform(module.running_var, 0.5))
