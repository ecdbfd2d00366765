"""`binary`: weights of one magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensa_core.schemes.contract import Facts, Target
from condensa_core.schemes.entries import Entries, Layout
from condensa_core.schemes.signs import SignCode


@dataclass(frozen=True)
class Binary:
    """The nearest weights in {-c, c}, with one c over all tensors; without `scale`, in {-1, 1}.

    min over c, s of sum w_i (x_i - c s_i)^2, w = 1 or the diagonal metric: s_i is the sign of x_i, and c the weighted
    mean of |x_i|. The sign of zero is +1.
    Source: Carreira-Perpinan and Idelbayev, arXiv:1707.04319, section 4.2 (binarisation, with scale).
    """

    scale: bool = True

    name: ClassVar[str] = "binary"
    facts: ClassVar[Facts] = Facts(
        summary="weights are plus or minus one number",
        source="Carreira-Perpinan and Idelbayev, arXiv:1707.04319",
        structure="value",
        exact=True,
        shrinks_file="none in model.onnx; the packed file stores one bit a weight",
        speeds_up="none: weights are looked up once, at load",
        metrics=frozenset(("diagonal",)),
    )

    def project(self, target: Target) -> SignCode:
        """The C step over all living entries jointly."""
        entries = Entries.of(target)
        signs = (entries.values < 0).to(torch.int8).mul_(-2).add_(1)
        magnitude = _mean(entries) if self.scale else entries.values.new_ones(())
        return SignCode(magnitude, signs, Layout.of(target), learned=self.scale, ternary=False)


def _mean(entries: Entries) -> Tensor:
    """The weighted mean magnitude, summed in float64, in the dtype of the entries; zero of none."""
    magnitudes = entries.values.abs()
    if not magnitudes.numel():
        return magnitudes.new_zeros(())
    if entries.weights is None:
        mean = magnitudes.sum(dtype=torch.float64) / magnitudes.numel()
    else:
        mean = entries.weights @ magnitudes.double() / entries.weights.sum()
    # It lies among the magnitudes, whatever rounding says: equal ones are their own mean.
    return mean.to(magnitudes.dtype).clamp(*magnitudes.aminmax())
