"""What both sides are measured by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from oracle import by_every_name, tensors_of
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Result = TypeVar("Result")


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """What the call returns, and the processor seconds it took."""
    begun = time.process_time()
    result = call()
    return result, time.process_time() - begun


def macs(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    """Multiply-accumulates of convolutions and matrix products for all samples together."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*inputs)
    return counter.get_total_flops() // 2


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def weighted_layers(model: nn.Module) -> list[str]:
    """The names of all convolutions and linear layers."""
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def dims_cut(original: nn.Module, cut: nn.Module) -> list[str]:
    """`tensor:dim` of every dimension that became smaller."""
    after = by_every_name(tensors_of(cut), original)
    found = []
    for name, tensor in tensors_of(original).items():
        sizes = zip(tensor.shape, after.get(name, tensor).shape, strict=True)
        found += [f"{name}:{dim}" for dim, (before, now) in enumerate(sizes) if now < before]
    return found


def layers_cut(layers: Iterable[str], dims: Iterable[str]) -> list[str]:
    """The layers whose weight is among the dimensions cut."""
    tensors = {dim.rpartition(":")[0] for dim in dims}
    return [layer for layer in layers if f"{layer}.weight" in tensors]
