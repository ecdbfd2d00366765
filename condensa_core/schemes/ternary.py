"""`ternary`: weights of one magnitude, or zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from condensa_core.schemes.buckets import Atoms, Buckets
from condensa_core.schemes.contract import Facts, Target
from condensa_core.schemes.entries import Entries, Layout
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
        least, magnitude = _kept(magnitudes, entries.weights) if magnitudes.numel() else (math.inf, 0.0)
        signs = entries.values.sign().to(torch.int8).mul_(magnitudes >= least)
        return SignCode(magnitudes.new_tensor(magnitude), signs, Layout.of(target), learned=True, ternary=True)


def _kept(magnitudes: Tensor, weights: Tensor | None) -> tuple[float, float]:
    """The least magnitude that does not become zero (infinity: all do), and the mean of all that do not."""
    numbers = Buckets.of(magnitudes, weights)
    atoms = numbers.atoms(squares=False)
    _, _, gain, most = _gains(atoms)
    atoms = atoms.with_points(numbers.points(atoms.bucket[atoms.divisible & (most >= gain.max())]))
    mass, moment, gain, _ = _gains(atoms)
    last = len(atoms) - 1 - int(gain[::-1].argmax())
    if not gain[last] > 0:
        return math.inf, 0.0
    # The mean lies among its magnitudes, whatever rounding says: equal ones are their own mean.
    return float(atoms.low[last]), float(np.clip(moment[last] / mass[last], atoms.low[last], atoms.high[-1]))


def _gains(atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each group: weight and moment of it and all above it, what they gain, and a bound on that of parts of it.

    With groups of sums S, W above, a part of weight v of one whose magnitudes are at most h gains no more than
    (S + v h)^2 / (W + v), which is greatest for nothing of the group or for all of it.
    """
    moments = atoms.first + atoms.mass * atoms.about
    mass, moment = (each[::-1].cumsum()[::-1] for each in (atoms.mass, moments))
    most = (moment - moments + atoms.mass * atoms.high) ** 2 / mass
    return mass, moment, moment**2 / mass, most
