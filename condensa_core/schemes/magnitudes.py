"""How much each entry of a target weighs: its magnitude in the metric."""

from __future__ import annotations

import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Target, Tensors


def magnitudes(target: Target) -> dict[str, Tensor]:
    """sqrt(weights) |w| by tensor: its square is what the metric charges for removing that entry alone.

    Shapes are the target's; the dtype too without a metric, else float64. Entries that are not alive have -1, less than
    any other. Raises SchemeError for negative or non-finite weights of the metric.
    """
    return {name: _magnitude(target, name) for name in target.tensors}


def _magnitude(target: Target, name: str) -> Tensor:
    magnitude = target.tensors[name].detach().abs()
    if name in target.metrics:
        magnitude = magnitude.double() * _weights(target, name).sqrt()
    alive = target.alive.get(name)
    return magnitude if alive is None else magnitude.masked_fill(~alive, -1)


def diagonals(target: Target) -> dict[str, Tensor]:
    """The metric's weight of every entry, float64, 1 without a metric; same refusals as `magnitudes`."""
    return {
        name: _weights(target, name).expand(t.shape) if name in target.metrics else torch.ones_like(t).double()
        for name, t in target.tensors.items()
    }


def _weights(target: Target, name: str) -> Tensor:
    weights = target.metrics[name].weights.detach().to(target.tensors[name].device, torch.float64)
    if not bool(((weights >= 0) & weights.isfinite()).all()):
        raise SchemeError(f"the metric of {name} has negative or non-finite weights")
    return weights


def refuse_non_finite(tensors: Tensors) -> None:
    """SchemeError for the first tensor with a NaN or infinite entry."""
    for name, tensor in tensors.items():
        if tensor.numel() and not bool(tensor.detach().abs().amax().isfinite()):
            raise SchemeError(f"{name} holds NaN or infinite weights: nothing is nearest to them")


def side_by_side(tensors: dict[str, Tensor]) -> Tensor:
    """All entries in one vector: tensors in order, each in row-major order whatever its memory."""
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def taken_apart(flat: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `side_by_side`: views of `flat` with the names and shapes of `tensors`."""
    pieces = flat.split([tensor.numel() for tensor in tensors.values()])
    return {name: piece.view(tensors[name].shape) for name, piece in zip(tensors, pieces, strict=True)}
