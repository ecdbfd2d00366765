"""`ternary`: weights of one magnitude, or zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from condensa_core.schemes.contract import Facts, Target
from condensa_core.schemes.entries import Entries, Layout
from condensa_core.schemes.line import ascending
from condensa_core.schemes.signs import SignCode


@dataclass(frozen=True)
class Ternary:
    """The nearest weights in {-c, 0, c}, with one c over all tensors.

    min over c, s of sum w_i (x_i - c s_i)^2, s_i in {-1, 0, 1}, w = 1 or the diagonal metric. With S the weights that
    are not zero, c is the weighted mean of |x_i| over S and the gain over zeros (sum_S w |x|)^2 / sum_S w. For a given
    c exactly the |x_i| > c / 2 gain, whatever they weigh, so that S holds the largest magnitudes: all counts are tried.
    Equal magnitudes share their fate, and of equally good S the smallest is taken.
    Source: Carreira-Perpinan and Idelbayev, arXiv:1707.04319, section 4.2 (ternarisation with scale).
    """

    name: ClassVar[str] = "ternary"
    facts: ClassVar[Facts] = Facts(
        summary="weights are plus or minus one number, or zero",
        source="Carreira-Perpinan and Idelbayev, arXiv:1707.04319",
        structure="value",
        exact=True,
        shrinks_file="none in model.onnx; the packed file stores up to five weights in a byte",
        speeds_up="none: weights are looked up once, at load",
        metrics=frozenset(("diagonal",)),
    )

    def project(self, target: Target) -> SignCode:
        """The C step over all living entries jointly."""
        entries = Entries.of(target)
        magnitudes = entries.values.abs()
        least, magnitude = _kept(magnitudes, entries.weights)
        kept = (magnitudes >= least) & (magnitudes > 0)
        signs = entries.values.sign().to(torch.int8) * kept
        return SignCode(magnitude.to(magnitudes.dtype), signs, Layout.of(target), learned=True, ternary=True)


def _kept(magnitudes: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """The least magnitude that does not become zero (infinity: all do), and the mean of all that do not (float64)."""
    nothing = magnitudes.new_full((), torch.inf), magnitudes.new_zeros((), dtype=torch.float64)
    if not magnitudes.numel():
        return nothing
    ordered, order = ascending(magnitudes)
    ordered = ordered.flip(0)
    wide = ordered.double()
    if weights is None:
        mass = torch.arange(1, ordered.numel() + 1, dtype=torch.float64, device=ordered.device)
        moment = wide.cumsum(0)
    else:
        weight = weights[order.flip(0)]
        mass, moment = weight.cumsum(0), (weight * wide).cumsum(0)
    gain = (moment.square() / mass).nan_to_num(0)  # 0 / 0 as long as nothing has weight
    last = gain.argmax()
    if not bool(gain[last] > 0):
        return nothing
    # The mean lies among its magnitudes, whatever rounding says: equal ones are their own mean.
    return ordered[last], (moment[last] / mass[last]).clamp(wide[last], wide[0])
