"""Which weights of a tensor share a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Granularity = Literal["tensor", "channel", "group"]


@dataclass(frozen=True)
class Sharing:
    """One scale for the tensor, for each index of dim 0, or for each `group` consecutive weights of a row.

    `channel`: dim 0 is the outputs of linear and convolution weights, the tokens of an embedding, the inputs of a
    transposed convolution (as torch lays it out). `group`: rows are those of `tensor.flatten(1)`; the last run of a row
    is shorter where `group` does not divide it. A vector is one row. Rows and columns of which nothing is left are
    passed over: what a tensor keeps when channels are removed has the same blocks as the smaller tensor.
    """

    granularity: Granularity
    group: int | None = None

    def blocks(self, shape: torch.Size, alive: Tensor | None, device: torch.device) -> ScaleBlocks:
        """The blocks of a tensor of which `alive` (boolean; None: all) is left."""
        whole = self.granularity == "tensor" or len(shape) < 2
        rows, columns = (1, shape.numel()) if whole else (shape[0], shape[1:].numel())
        length = max(1, columns) if self.group is None else self.group
        if shape.numel() and columns % length == 0 and (alive is None or bool(alive.all())):
            return ScaleBlocks(shape, rows, shape.numel() // length, length, None)
        left = torch.ones(shape, dtype=torch.bool, device=device) if alive is None else alive
        left = left.reshape(rows, columns)
        mask = left.any(1)[:, None] & left.any(0)
        runs = (mask.sum(1) + length - 1) // length
        place = (runs.cumsum(0) - runs)[:, None] * length + mask.cumsum(1) - 1
        return ScaleBlocks(shape, rows, int(runs.sum()), length, place.masked_fill_(~mask, -1).flatten())


@dataclass(frozen=True, eq=False)
class ScaleBlocks:
    """The blocks of one tensor as rows of a matrix, `count` x `length`, in the order of their weights."""

    shape: torch.Size
    rows: int  # of the tensor, of which a block lies in one
    count: int
    length: int
    place: Tensor | None  # of each entry in the flattened matrix, -1 for none; None: entry after entry

    def split(self, tensor: Tensor) -> Tensor:
        """count x length, in float64; zero behind the last weight of a short block."""
        if self.place is None:
            return tensor.reshape(self.count, self.length).double()
        there = self.place >= 0
        matrix = torch.zeros(self.count * self.length, dtype=torch.float64, device=tensor.device)
        matrix[self.place[there]] = tensor.flatten()[there].double()
        return matrix.view(self.count, self.length)

    def join(self, blocks: Tensor) -> Tensor:
        """The inverse of `split`, in the dtype of `blocks`; zero where no block is."""
        if self.place is None:
            return blocks.reshape(self.shape)
        there = self.place >= 0
        flat = blocks.new_zeros(self.shape.numel())
        flat[there] = blocks.flatten()[self.place[there]]
        return flat.view(self.shape)

    def spread(self, per_block: Tensor, absent: float) -> Tensor:
        """One number a block as a tensor that broadcasts to the shape; `absent` where no block is.

        A number a row where rows have no more than one block, else of full size.
        """
        if self.length * self.rows == self.shape.numel():
            each = per_block
            if self.place is not None and self.count < self.rows:
                there = (self.place.view(self.rows, self.length) >= 0).any(1)
                each = per_block.new_full((self.rows,), absent).masked_scatter_(there, per_block)
            return each.reshape(-1, *[1] * (len(self.shape) - 1)) if self.shape else each.reshape(self.shape)
        if self.place is None:
            return per_block[:, None].expand(-1, self.length).reshape(self.shape)
        there = self.place >= 0
        flat = per_block.new_full((self.shape.numel(),), absent)
        flat[there] = per_block[self.place[there] // self.length]
        return flat.view(self.shape)

    def holding(self, alive: Tensor) -> int:
        """How many blocks have an entry that is `alive`."""
        if self.place is None:
            return int(alive.reshape(self.count, self.length).any(1).sum())
        held = self.place[alive.flatten()]
        return (held[held >= 0] // self.length).unique().numel()
