"""The weight of a layer as 8-bit integers with one scale an output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from condensa_core.schemes.contract import Target
from condensa_core.schemes.quantize import Quantize
from condensa_core.schemes.terms import Scaled, Term


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
    known = _known(name, values, axis, terms)
    if known is None:
        matrix = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float64)).flatten(1)
        code = Quantize(f"int{bits}", "channel").project(Target({name: matrix})).arrays()
        levels = code[f"{name}.levels"].numpy().reshape(rows.shape)
        scale = code[f"{name}.scale"].numpy()
    else:
        levels, scale = known
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


def _known(
    name: str, values: np.ndarray, axis: int, terms: Mapping[str, tuple[Term, ...]]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Levels with the outputs first, and their scales, of the parameter that the initializer holds."""
    for parameter in sorted(terms, key=lambda other: other != name):
        pieces = terms[parameter]
        if len(pieces) != 1 or not isinstance(pieces[0], Scaled):
            continue
        base, scale, shift = pieces[0].base, pieces[0].scale, pieces[0].shift
        if base.dtype != torch.int8 or shift is not None or bool((base == -128).any()):
            continue
        dense = pieces[0].dense().float().cpu().numpy()
        for turned in (False, True):
            if turned and dense.ndim != 2:
                continue
            held = dense.T if turned else dense
            if held.shape != values.shape or not np.array_equal(held, values):
                continue
            spread = np.broadcast_to(scale.float().cpu().numpy(), dense.shape)
            integers = base.cpu().numpy()
            if turned:
                spread, integers = spread.T, integers.T
            spread, integers = np.moveaxis(spread, axis, 0), np.moveaxis(integers, axis, 0)
            each = spread.reshape(spread.shape[0], -1)
            if each.shape[1] and (each == each[:, :1]).all():
                return np.ascontiguousarray(integers), np.ascontiguousarray(each[:, 0])
    return None
