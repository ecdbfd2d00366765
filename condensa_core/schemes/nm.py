"""`pattern: "N:M"`: at most N of every M consecutive inputs, the form that sparse tensor cores read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from condensa_core.errors import SchemeError


@dataclass(frozen=True)
class FineGrained:
    """N of M: groups run along the inputs of a weight, dimension 1.

    Linear and recurrent weights (m x n) are grouped along each row; a convolution (o x i x kh x kw) along its input
    channels at each kernel position, as the hardware reads it after unfolding; a vector along itself. Where the inputs
    are no multiple of M, the last group is shorter and keeps as many as if zeros filled it up: min(N, its length).
    Source: Mishra et al., "Accelerating sparse deep neural networks", arXiv:2104.08378.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        if not 0 <= self.n <= self.m or self.m < 1:
            raise SchemeError(f"prune: pattern {self.n}:{self.m} must keep 0 to {self.m} of at least 1", hint="try 2:4")

    def mask(self, magnitudes: Tensor) -> Tensor:
        """The largest N of each group, among entries that are not negative; equal ones: the earlier input."""
        inputs = inputs_last(magnitudes)
        grouped = pad(inputs, (0, -inputs.shape[-1] % self.m), value=-1).unflatten(-1, (-1, self.m))
        first = grouped.argsort(dim=-1, descending=True, stable=True)[..., : self.n]
        mask = torch.zeros_like(grouped, dtype=torch.bool).scatter_(-1, first, True) & (grouped >= 0)
        return inputs_back(mask.flatten(-2)[..., : inputs.shape[-1]], magnitudes.dim())

    def bits(self, mask: Tensor, alive: Tensor | None) -> int:
        """ceil(log2 C(a, N)) for a group with a alive entries, or 0 where it keeps them all: see `Positions`."""
        groups = self.groups(mask)
        sizes = torch.bincount(torch.bincount(groups.flatten() if alive is None else groups[alive])).tolist()
        choices = [math.comb(size, min(size, self.n)) for size in range(len(sizes))]
        return sum(groups * (choice - 1).bit_length() for groups, choice in zip(sizes, choices, strict=True))

    def groups(self, like: Tensor) -> Tensor:
        """The number of the group that each entry of a tensor of that shape belongs to, from 0; int64."""
        inputs = inputs_last(like)
        a_row = -(-inputs.shape[-1] // self.m)
        rows = torch.arange(inputs[..., :1].numel(), device=like.device).view(*inputs.shape[:-1], 1)
        within = torch.arange(inputs.shape[-1], device=like.device) // self.m
        return inputs_back(rows * a_row + within, like.dim())


def inputs_last(weight: Tensor) -> Tensor:
    """The weight with its input dimension last: 1 where there are two and more, else the only one."""
    return weight.movedim(1, -1) if weight.dim() > 1 else weight.reshape(-1)


def inputs_back(weight: Tensor, dims: int) -> Tensor:
    """The inverse of `inputs_last` for a tensor of `dims` dimensions."""
    if dims > 1:
        return weight.movedim(-1, 1)
    return weight if dims else weight.reshape(())


def fine_grained(pattern: str) -> FineGrained:
    """The record of a pattern written as "N:M"; SchemeError for anything else."""
    found = re.fullmatch(r"(\d+):(\d+)", pattern.strip())
    if found is None:
        raise SchemeError(
            f"prune: pattern {pattern!r} is not known",
            hint='known: unstructured, "N:M" such as "2:4", a Python function',
        )
    return FineGrained(int(found[1]), int(found[2]))
