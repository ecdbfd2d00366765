"""The living entries of a target in one vector, for schemes that give all of them a few common values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Target


@dataclass(frozen=True, eq=False)
class Entries:
    """n entries, tensor after tensor in row-major order, in the widest dtype of the target."""

    values: Tensor
    # Weights of the squared errors (float64, none negative, some positive); None: every entry alike.
    weights: Tensor | None

    @staticmethod
    def of(target: Target) -> Entries:
        """The entries that are alive. SchemeError for weights, or weights of the metric, that no number is near to."""
        values = [_living(target, name, tensor.detach()) for name, tensor in target.tensors.items()]
        joint = torch.cat(values) if len(values) != 1 else values[0]
        if joint.numel() and not bool(joint.abs().amax().isfinite()):
            raise SchemeError("weights are NaN or infinite: nothing is nearest to them")
        if not target.metrics:
            return Entries(joint, None)
        weights = torch.cat([_living(target, name, _weights(target, name)) for name in target.tensors])
        return Entries(joint, weights if bool(weights.any()) else None)


def _living(target: Target, name: str, tensor: Tensor) -> Tensor:
    return tensor[target.alive[name]] if name in target.alive else tensor.flatten()


def _weights(target: Target, name: str) -> Tensor:
    tensor = target.tensors[name]
    if name not in target.metrics:
        return torch.ones(tensor.shape, dtype=torch.float64, device=tensor.device)
    weights = target.metrics[name].weights.detach().double()
    if not bool(((weights >= 0) & weights.isfinite()).all()):
        raise SchemeError(f"the metric of {name} has negative or non-finite weights")
    return weights.expand(tensor.shape)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the entries of `Entries` are: shapes, dtypes and masks by tensor name."""

    shapes: dict[str, torch.Size]
    dtypes: dict[str, torch.dtype]
    alive: dict[str, Tensor]

    @staticmethod
    def of(target: Target) -> Layout:
        """That of the target's tensors."""
        return Layout(
            {name: tensor.shape for name, tensor in target.tensors.items()},
            {name: tensor.dtype for name, tensor in target.tensors.items()},
            {name: target.alive[name] for name in target.tensors if name in target.alive},
        )

    def counts(self) -> dict[str, int]:
        """Living entries by tensor."""
        return {
            name: int(self.alive[name].sum()) if name in self.alive else shape.numel()
            for name, shape in self.shapes.items()
        }

    def placed(self, joint: Tensor) -> dict[str, Tensor]:
        """`joint`, one number for each entry, in the shapes of the tensors; zero where nothing lives. New memory."""
        counts = self.counts()
        placed = {}
        for (name, shape), piece in zip(self.shapes.items(), joint.split(list(counts.values())), strict=True):
            if name in self.alive:
                placed[name] = joint.new_zeros(shape).masked_scatter_(self.alive[name], piece)
            else:
                placed[name] = piece.view(shape) if len(counts) == 1 else piece.reshape(shape).clone()
        return placed

    def same(self, other: Layout) -> bool:
        """Whether the same entries of the same tensors live."""
        return (
            self.shapes == other.shapes
            and self.alive.keys() == other.alive.keys()
            and all(torch.equal(mask, other.alive[name]) for name, mask in self.alive.items())
        )
