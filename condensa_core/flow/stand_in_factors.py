"""Factors in the place of others that are not known, or not yet: where only their shapes matter."""

from __future__ import annotations

import math

import torch

from condensa_core.schemes.matrix_view import Factors, MatrixView


def stand_in_factors(view: MatrixView, rank: int, generator: torch.Generator) -> Factors:
    """Independent normal numbers, m x r and r x n, of variance 1 / r and 1 / n: outputs of the order of the inputs.

    Not all equal: behind equal channels a normalisation divides rounding noise by rounding noise, and a model with two
    layers is no longer seen to compute what their product does.
    """
    sizes = (view.rows, rank), (rank, view.columns)
    left, right = (torch.randn(size, generator=generator) / math.sqrt(size[1]) for size in sizes)
    return Factors(left, right, view)
