"""One tensor of a target as a matrix in its metric, with its best approximations of every rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from condensa_core.errors import SchemeError
from condensa_core.schemes.contract import Target
from condensa_core.schemes.matrix_view import Convolution, Factors, MatrixView, view_of
from condensa_core.schemes.metric import Metric
from condensa_core.schemes.truncated_svd import TruncatedSvd

_SEPARABLE: Final = 1e-6  # by how much of the largest the weights of a metric may differ from a product


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Tensor `name` of a target, without the rows and columns that an earlier scheme removed."""

    name: str
    tensor: Tensor
    view: MatrixView
    alive: tuple[Tensor, Tensor] | None  # masks of rows and columns; None: all
    metric: Metric | None

    @classmethod
    def of(cls, name: str, target: Target, convolution: Convolution) -> Decomposition:
        """SchemeError where what is alive is no rectangle of the matrix, or the tensor is not finite."""
        tensor = target.tensors[name].detach()
        if tensor.numel() and not bool(tensor.abs().amax().isfinite()):  # a tenth of the time of `isfinite().all()`
            raise SchemeError(f"lowrank: {name} holds NaN or infinite values")
        view, alive = view_of(tuple(tensor.shape), convolution), None
        if name in target.alive and not bool(target.alive[name].all()):
            alive = view.rectangle(target.alive[name])
            if alive is None:
                raise SchemeError(
                    f"lowrank: factors would fill the zeros inside {name} again",
                    hint="put lowrank first, or add the two up with sum",
                )
        return cls(name, tensor, view, alive, target.metrics.get(name))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns that are alive."""
        if self.alive is None:
            return self.view.rows, self.view.columns
        return int(self.alive[0].sum()), int(self.alive[1].sum())

    @property
    def full(self) -> int:
        """The rank of the matrix itself: its shorter side."""
        return min(self.size)

    @cached_property
    def errors(self) -> npt.NDArray[np.float64]:
        """||W - W_r||_M^2 of ranks 0 to full; SchemeError where that is beyond float64."""
        with np.errstate(over="ignore"):
            errors = self.scaled_errors * self._root**2 * self._root**2
        if not np.isfinite(errors).all():
            raise SchemeError(f"lowrank: {self.name} is too large to square: no ranks can be compared by their errors")
        return errors

    @cached_property
    def scaled_errors(self) -> npt.NDArray[np.float64]:
        """`errors` of the matrix scaled to entries below four; what the dtype rounds off counts as zero."""
        if not self.full:
            return np.zeros(1)
        tails = self._svd.tails
        # Rounding W to its dtype errs by half a unit in each entry at most; the decomposition by some of float64's.
        units = torch.finfo(self.tensor.dtype).eps ** 2 + self.full * (4 * torch.finfo(torch.float64).eps) ** 2
        return torch.where(tails > units * self._norm, tails, 0).cpu().numpy()

    def factors(self, rank: int) -> Factors:
        """The best approximation of that rank, in the tensor's dtype; removed rows and columns are zero."""
        m, n = self.view.rows, self.view.columns
        if not rank:
            return Factors(self.tensor.new_zeros(m, 0), self.tensor.new_zeros(0, n), self.view)
        left, right = ((self._root * one).to(self.tensor.dtype) for one in self._svd.factors(rank))
        if self.alive is not None:
            within, beside = left, right
            left, right = self.tensor.new_zeros(m, rank), self.tensor.new_zeros(rank, n)
            left[self.alive[0]] = within
            right[:, self.alive[1]] = beside
        return Factors(left.contiguous(), right.contiguous(), self.view)

    def dense(self) -> Tensor:
        """The tensor itself in new memory, zero where it is not alive."""
        whole = self.tensor.clone(memory_format=torch.contiguous_format)
        if self.alive is None:
            return whole
        return self.view.tensor(self.view.matrix(whole) * (self.alive[0][:, None] & self.alive[1]))

    def _crossings(self, matrix: Tensor) -> Tensor:
        return matrix if self.alive is None else matrix[self.alive[0]][:, self.alive[1]]

    @cached_property
    def _root(self) -> float:
        """A power of two whose square brings the largest magnitude into [1, 4), where squares lose nothing."""
        alive = self._crossings(self.view.matrix(self.tensor))
        largest = float(alive.abs().amax()) if alive.numel() else 0.0
        return 2.0 ** ((math.frexp(largest)[1] - 1) // 2)

    @cached_property
    def _matrix(self) -> Tensor:
        """What is alive, divided by the square of `_root`."""
        return self._crossings(self.view.matrix(self.tensor).double()) / self._root**2

    @cached_property
    def _svd(self) -> TruncatedSvd:
        if self.metric is None:
            return TruncatedSvd(self._matrix)
        if self.metric.gram is not None and len(self.view.shape) > 1:
            return TruncatedSvd(self._matrix, gram=self._gram(self.metric.gram))
        rows, columns = self._separated(self.metric.weights)
        return TruncatedSvd(self._matrix, rows, columns)

    @cached_property
    def _norm(self) -> Tensor:
        """The squared norm of the scaled W, as if its entries erred independently."""
        if self.metric is None or self.metric.gram is None or len(self.view.shape) < 2:
            return self._svd.energies.sum()
        return (self._matrix.square() @ self._gram(self.metric.gram).diagonal()).sum()

    def _gram(self, gram: Tensor) -> Tensor:
        if not self.view.is_flat:
            raise SchemeError(
                f"lowrank: by kernel, inputs of {self.name} lie across rows and columns: no exact solution is known",
                hint="write convolution: output, or drop the metric",
            )
        wide = gram.to(self.tensor.device, torch.float64)
        return wide if self.alive is None else wide[self.alive[1]][:, self.alive[1]]

    def _separated(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of rows and columns whose products the weights are; SchemeError if they are none."""
        wide = weights.to(self.tensor.device, torch.float64).expand(self.tensor.shape)
        matrix = self._crossings(self.view.matrix(wide))
        peak = int(matrix.argmax())
        row, column = divmod(peak, matrix.shape[1])
        rows, columns = matrix[:, column], matrix[row]
        largest = matrix[row, column]
        if largest <= 0:
            return torch.ones_like(rows), torch.ones_like(columns)
        if not bool(((matrix - rows[:, None] * columns / largest).abs() <= _SEPARABLE * largest).all()):
            raise SchemeError(
                f"lowrank: the metric of {self.name} weighs every entry on its own: no exact solution is known",
                hint="weigh rows or columns, or drop the metric"
                + ("; convolution: output has inputs as columns" if not self.view.is_flat else ""),
            )
        return rows / largest, columns
