"""Weights that leave nothing hidden: behind a tensor of zeros, no check sees anything."""

from __future__ import annotations

from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from condensa_core.materialise.replacement import copy_with


def roused(model: nn.Module) -> nn.Module | None:
    """A copy where every tensor that holds one number only is drawn at random around it; None if there is no such one.

    Layers that start at zero (residual branches, adapters) and norms that start at one hide what is wrong around them:
    whether a cut is right must not depend on that. Buffers, which may be variances, only grow. The draw is the same in
    every call.
    """
    named = chain(model.named_parameters(), model.named_buffers())
    flat = [(name, tensor) for name, tensor in named if tensor.is_floating_point() and _is_flat(tensor)]
    if not flat:
        return None
    return copy_with(
        model,
        {
            name: partial(_drawn, grows=not isinstance(tensor, nn.Parameter), seed=number)
            for number, (name, tensor) in enumerate(flat)
        },
    )


def _is_flat(tensor: Tensor) -> bool:
    return tensor.numel() > 1 and bool((tensor == tensor.flatten()[0]).all())


def _drawn(tensor: Tensor, *, grows: bool, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if grows:
        shift = torch.rand(tensor.shape, generator=generator)
    else:
        width = tensor[0].numel() if tensor.ndim > 1 else 9  # as layers are initialised: outputs keep their size
        shift = torch.randn(tensor.shape, generator=generator) / width**0.5
    return tensor + shift.to(tensor.device, tensor.dtype)
