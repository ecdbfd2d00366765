"""In what norm the error of a tensor is small: the metric M of a data-aware projection."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Metric:
    """||E||_M^2 of an error E of one tensor, from one pass over calibration data.

    `weights` >= 0 broadcasts to the tensor: the diagonal metric, sum weights * E^2 (for a linear layer the mean energy
    of its inputs, as a row; for an embedding the frequency of its tokens, as a column). `gram`, where it is known, is
    H = X X^T / samples of n inputs (n x n, symmetric, positive semi-definite), of which `weights` is the diagonal:
    sum over the rows e of E.flatten(1) of e H e^T, which is the mean squared error of the layer's outputs.
    Source: Hassibi and Stork, "Optimal brain surgeon", NIPS 1992; Frantar et al., GPTQ, arXiv:2210.17323.
    """

    weights: Tensor
    gram: Tensor | None = None

    def error(self, difference: Tensor) -> Tensor:
        """||difference||_M^2, a float64 number."""
        wide = difference.double()
        if self.gram is None:
            return (self.weights.double() * wide.square()).sum()
        rows = wide.flatten(1)
        return (rows @ self.gram.double() * rows).sum()
