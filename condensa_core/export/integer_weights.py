"""The weight of a layer as 8-bit integers with one scale an output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from condensa_core.schemes.contract import Target
from condensa_core.schemes.quantize import Quantize
from condensa_core.schemes.terms import Scaled, Term

_FRACTION_OF_STEP: Final = 0.01


@dataclass(frozen=True, eq=False)
class IntegerWeight:
    """(levels - zero) * scale along the axis of the outputs; int8 with zero 0, or uint8 with zero 128."""

    levels: np.ndarray
    scale: np.ndarray  # float32, one an output
    zero: np.ndarray


def integer_weight(
    name: str,
    values: np.ndarray,
    axis: int,
    *,
    bits: int,
    terms: Mapping[str, tuple[Term, ...]],
    least_scale: np.ndarray | None = None,
) -> IntegerWeight:
    """The integers that `terms` give for the weight, or its nearest ones of `bits` bits; outputs run along `axis`.

    Terms are found by the parameter's name, else by its values, transposed where the exporter has done so. Scales below
    `least_scale` (one an output) are raised to it: the layer's bias is stored in units of the input's scale times this
    one, and must fit 32 bits.
    """
    rows = np.moveaxis(values, axis, 0)
    known = known_integers(name, values, axis, terms)
    if known is None:
        matrix = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float64)).flatten(1)
        code = Quantize(f"int{bits}", "channel").project(Target({name: matrix})).arrays()
        levels = code[f"{name}.levels"].numpy().reshape(rows.shape)
        scale = code[f"{name}.scale"].numpy()
    else:
        levels, scale = known.levels, known.scale
    if least_scale is not None:
        low = scale < least_scale
        if low.any():
            scale = np.where(low, np.nextafter(np.float32(least_scale), np.float32(np.inf)), scale).astype(np.float32)
            tall = scale.reshape(-1, *[1] * (rows.ndim - 1))
            levels = np.where(low.reshape(tall.shape), np.rint(rows / tall), levels).astype(np.int8)
    levels = np.moveaxis(levels, 0, axis)
    wide = int(np.abs(levels.astype(np.int16)).max(initial=0)) > 2 ** (bits - 1) - 1
    if wide:  # given integers that 7 bits do not hold: uint8 weights have kernels that do not saturate
        return IntegerWeight(
            (levels.astype(np.int16) + 128).astype(np.uint8), scale, np.full(scale.shape, 128, np.uint8)
        )
    return IntegerWeight(levels.astype(np.int8), scale, np.zeros(scale.shape, np.int8))


@dataclass(frozen=True, eq=False)
class KnownIntegers:
    """What the weight of a layer is: `parameter` = levels * scale, outputs first, one positive scale an output."""

    parameter: str
    levels: np.ndarray  # int8
    scale: np.ndarray  # float32


def known_integers(
    name: str, values: np.ndarray, axis: int, terms: Mapping[str, tuple[Term, ...]]
) -> KnownIntegers | None:
    """The integers of the parameter that the initializer holds; None where `terms` give none for it."""
    for parameter in sorted(terms, key=lambda other: other != name):
        term = terms[parameter][0]
        if len(terms[parameter]) != 1 or not isinstance(term, Scaled) or not _are_levels(term):
            continue
        integers, spread = (x.cpu().numpy() for x in torch.broadcast_tensors(term.base, term.scale.float()))
        for turned in (False, True) if integers.ndim == 2 else (False,):
            whole, each = (integers.T, spread.T) if turned else (integers, spread)
            if whole.shape != values.shape or not _on_grid(values, whole, each):
                continue
            levels, scale = np.moveaxis(whole, axis, 0), np.moveaxis(each, axis, 0).reshape(values.shape[axis], -1)
            if scale.shape[1] and (scale == scale[:, :1]).all():
                return _with_positive_scales(parameter, levels, scale[:, 0])
    return None


def _are_levels(term: Scaled) -> bool:
    return term.base.dtype == torch.int8 and term.shift is None and not bool((term.base == -128).any())


def _on_grid(values: np.ndarray, levels: np.ndarray, scale: np.ndarray) -> bool:
    """Whether these are the levels of the values: folding BatchNorm rounds, by far less than a step."""
    return bool((np.abs(levels * scale - values) <= _FRACTION_OF_STEP * np.abs(scale)).all())


def _with_positive_scales(parameter: str, levels: np.ndarray, scale: np.ndarray) -> KnownIntegers:
    """A norm may turn an output around, or leave nothing of it: its levels are zero then, on any grid."""
    column = (-1, *[1] * (levels.ndim - 1))
    signed = levels * np.sign(scale).astype(np.int8).reshape(column)
    positive = np.where(scale == 0, np.float32(1), np.abs(scale))
    return KnownIntegers(parameter, np.ascontiguousarray(signed), positive)
