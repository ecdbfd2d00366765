"""A weight tensor as the matrix whose rank is reduced, and the product of two factors as a tensor again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from condensa_core.schemes.terms import Product

Convolution = Literal["output", "kernel"]


@dataclass(frozen=True)
class MatrixView:
    """`tensor.permute(order)` with its first `row_dims` axes as rows and the others as columns.

    Every entry of the tensor is one entry of the matrix, so distances are the same in both.
    """

    shape: tuple[int, ...]  # of the tensor
    order: tuple[int, ...]
    row_dims: int

    @property
    def laid_out(self) -> tuple[int, ...]:
        """The tensor's sizes in the order of the matrix."""
        return tuple(self.shape[dim] for dim in self.order)

    @property
    def rows(self) -> int:
        """m; 1 for a tensor without axes."""
        return math.prod(self.laid_out[: self.row_dims])

    @property
    def columns(self) -> int:
        """n; 1 where all axes are rows."""
        return math.prod(self.laid_out[self.row_dims :])

    @property
    def axes(self) -> tuple[int, ...]:
        """The permutation that leads back to the tensor."""
        return tuple(self.order.index(dim) for dim in range(len(self.order)))

    @property
    def is_flat(self) -> bool:
        """Whether the columns are those of `tensor.flatten(1)`."""
        return self.row_dims == 1 and len(self.shape) > 1

    def rectangle(self, mask: Tensor) -> tuple[Tensor, Tensor] | None:
        """The rows and columns, as masks, whose crossings `mask` (of the tensor's shape) holds; None if it is none."""
        matrix = self.matrix(mask)
        rows, columns = matrix.any(1), matrix.any(0)
        return (rows, columns) if torch.equal(matrix, rows[:, None] & columns) else None

    def matrix(self, tensor: Tensor) -> Tensor:
        """The m x n matrix; shares memory with the tensor where the order allows."""
        return tensor.permute(self.order).reshape(self.rows, self.columns)

    def tensor(self, matrix: Tensor) -> Tensor:
        """The tensor of an m x n matrix, contiguous and in new memory."""
        return matrix.reshape(self.laid_out).permute(self.axes).clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True, eq=False)
class Factors:
    """A tensor as `left @ right`, (m x r) times (r x n), seen through `view`."""

    left: Tensor
    right: Tensor
    view: MatrixView

    @property
    def rank(self) -> int:
        """r, the number of columns of `left`."""
        return self.left.shape[1]

    def dense(self) -> Tensor:
        """The tensor: multiplied in float64, rounded once to the dtype of the factors."""
        return self.view.tensor((self.left.double() @ self.right.double()).to(self.left.dtype))

    def product(self) -> Product:
        """The same as a term for the packed file."""
        return Product(self.left, self.right, self.view.laid_out, self.view.axes)


def view_of(shape: tuple[int, ...], convolution: Convolution) -> MatrixView:
    """How a weight of this shape is a matrix.

    Up to two axes: as it is, m x n (linear, embedding, recurrent, attention projections), a vector as one column.
    More, out x in x k1 x ... x kd: "output" has a row for each output, (o, i k1 ... kd): a convolution to r channels,
    then one of single positions. "kernel" gives the first half of the kernel's axes (at least one) to the rows,
    (o kh, i kw): a convolution along the width to r channels, then one along the height. Grouped convolutions are no
    exception: their weight is one matrix, so all groups share the right factor.
    Source: Idelbayev and Carreira-Perpinan, "Low-rank compression of neural nets", CVPR 2020 (schemes 1 and 2).
    """
    spatial = max(0, len(shape) - 2)
    with_rows = (spatial + 1) // 2 if convolution == "kernel" else 0
    first = (0, *range(2, 2 + with_rows)) if shape else ()
    order = (*first, *(dim for dim in range(len(shape)) if dim not in first))
    return MatrixView(tuple(shape), order, len(first))
