"""The nearest matrices of low rank, in any separable metric, by the cheapest decomposition that is accurate enough."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

# The eigenvalues of the smaller Gram matrix are the squared singular values to a few units of 1e-16 times the largest.
# Below these fractions of the largest that is not enough, and the singular value decomposition itself is taken:
_LEAST_ENERGY: Final = 1e-10  # for the smallest of them: whether the matrix lacks rank
_LEAST_TAIL: Final = 1e-4  # for the error of an approximation, so that it is the least possible to 1e-10 of itself

# Weights that are zero leave an error free. This fraction of the mean is added, which prefers, among all the best
# approximations, the nearest in the plain norm, and moves the optimum by less than calibration data can tell.
_DAMPING: Final = 1e-12


class TruncatedSvd:
    """min tr(D E H E^T) over matrices of rank r, E = W - W_r, for every r at once.

    `matrix` W is m x n, float64 and not empty, with squares in the range of float64; the metric is D = diag(`rows`), m
    numbers >= 0, and H = diag(`columns`), n numbers >= 0, or `gram`, n x n and positive semi-definite; None stands for
    the identity. With A = D^1/2 W H^1/2 and its leading left singular vectors U, D^1/2 W_r = U U^T D^1/2 W. No inverse
    of H is needed when m <= n, so a singular H is no exception there.
    Source: Eckart and Young, Psychometrika 1 (1936); with H: Wang et al., SVD-LLM, arXiv:2403.07378, section 3.
    """

    def __init__(
        self, matrix: Tensor, rows: Tensor | None = None, columns: Tensor | None = None, gram: Tensor | None = None
    ) -> None:
        self._row_scale = None if rows is None else _damped(rows).sqrt()
        self._column_scale = None if columns is None else _damped(columns).sqrt()
        self._gram = None if gram is None else _damped_gram(gram)
        scaled = matrix if self._row_scale is None else matrix * self._row_scale[:, None]
        self._scaled = scaled if self._column_scale is None else scaled * self._column_scale
        self._plain = rows is None and columns is None and gram is None
        self._wide = matrix.shape[0] <= matrix.shape[1]
        self._energies, self._basis = self._by_gram()
        self._exact = False
        if self._energies[-1] < _LEAST_ENERGY * self._energies[0]:
            self._decompose()

    @property
    def energies(self) -> Tensor:
        """The squared singular values of A, min(m, n) of them, largest first, none negative."""
        return self._energies

    @property
    def tails(self) -> Tensor:
        """The least error of every rank 0, 1, ..., min(m, n): what the singular values left out sum to."""
        sums = self._energies.flip(0).cumsum(0).flip(0)  # from the smallest: nothing is lost to rounding
        return torch.cat([sums, sums.new_zeros(1)])

    def factors(self, rank: int) -> tuple[Tensor, Tensor]:
        """W_r as left (m x r) and right (r x n), with equal Gram matrices: left^T left = right right^T is diagonal.

        0 <= rank <= min(m, n). In a metric, that of W_r itself is meant.
        """
        if not self._exact and self.tails[rank] < _LEAST_TAIL * self._energies[0]:
            self._decompose()
        basis = self._basis[:, :rank]
        if self._wide:
            left, right = basis, basis.T @ self._scaled
        elif self._gram is None:
            left, right = self._scaled @ basis, basis.T
        else:
            root, inverse = self._roots
            left, right = self._scaled @ (root @ basis), basis.T @ inverse
        if self._plain:
            grown = (right.norm(dim=1) if self._wide else left.norm(dim=0)).sqrt()
            shrunk = torch.where(grown > 0, grown.reciprocal(), 0)
            return (left * grown, right * shrunk[:, None]) if self._wide else (left * shrunk, right * grown[:, None])
        if self._row_scale is not None:
            left = left / self._row_scale[:, None]
        if self._column_scale is not None:
            right = right / self._column_scale
        return _balanced(left, right)

    def _by_gram(self) -> tuple[Tensor, Tensor]:
        """Energies, and singular vectors of the shorter side as columns, from the eigenvectors of its Gram matrix."""
        if not self._wide:
            product = _own_product((self._scaled if self._gram is None else self._scaled @ self._roots[0]).T)
        elif self._gram is None:
            product = _own_product(self._scaled)
        else:
            product = self._scaled @ self._gram @ self._scaled.T
        values, vectors = _eigenpairs(product)
        return values.flip(0).clamp_min(0), vectors.flip(1)

    def _decompose(self) -> None:
        whole = self._scaled if self._gram is None else self._scaled @ self._roots[0]
        # The default of cuSOLVER stops early.
        left, sizes, right = torch.linalg.svd(whole, full_matrices=False, driver="gesvd" if whole.is_cuda else None)
        self._energies, self._basis, self._exact = sizes.square(), left if self._wide else right.T, True

    @cached_property
    def _roots(self) -> tuple[Tensor, Tensor]:
        """S with S S^T = H, and its inverse."""
        assert self._gram is not None
        values, vectors = _eigenpairs(self._gram)
        sizes = values.clamp_min(_DAMPING * values[-1].clamp_min(torch.finfo(values.dtype).tiny)).sqrt()
        return vectors * sizes, (vectors / sizes).T


# On the host both steps are numpy's: it multiplies a matrix by its own transpose in half the work (BLAS syrk, which
# torch does not call), and its eigenvectors take 15 % less there. The first layer of a LeNet-300 needs 1.7 + 7.1 ms of
# one core instead of 2.8 + 8.4 (medians of 40 interleaved rounds; AMD EPYC, numpy 2.4.6, torch 2.13).


def _own_product(matrix: Tensor) -> Tensor:
    """`matrix @ matrix.T`."""
    if matrix.device.type != "cpu":
        return matrix @ matrix.T
    host = matrix.numpy()
    return torch.from_numpy(host @ host.T)


def _eigenpairs(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and orthonormal eigenvectors as columns."""
    if symmetric.device.type != "cpu":
        values, vectors = torch.linalg.eigh(symmetric)
        return values, vectors
    host = np.linalg.eigh(symmetric.numpy())
    return torch.from_numpy(host.eigenvalues), torch.from_numpy(host.eigenvectors)


def _damped(weights: Tensor) -> Tensor:
    wide = weights.double()
    mean = wide.mean()
    return wide + _DAMPING * mean if mean > 0 else torch.ones_like(wide)  # where no error counts, the plain norm


def _damped_gram(gram: Tensor) -> Tensor:
    wide = gram.double()
    mean = wide.diagonal().mean()
    if mean <= 0:
        return torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
    return (wide + wide.T) / 2 + torch.eye(len(wide), dtype=wide.dtype, device=wide.device) * (_DAMPING * mean)


def _balanced(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The same product with the singular values shared evenly."""
    first, upper = torch.linalg.qr(left)
    second, lower = torch.linalg.qr(right.T)
    inner, sizes, outer = torch.linalg.svd(upper @ lower.T)
    return first @ (inner * sizes.sqrt()), sizes.sqrt()[:, None] * (outer @ second.T)
