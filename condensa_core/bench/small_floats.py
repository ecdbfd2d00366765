"""Floats of which numpy knows nothing, from their bits, as float32."""

from __future__ import annotations

from typing import Final

import numpy as np


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Of uint16: the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def from_float8e5m2(bits: np.ndarray) -> np.ndarray:
    """Of uint8: the upper half of a float16."""
    return (bits.astype(np.uint16) << 8).view(np.float16).astype(np.float32)


def from_float8e4m3fn(bits: np.ndarray) -> np.ndarray:
    """Of uint8: a sign, 4 bits of exponent with bias 7, 3 of mantissa; no infinity."""
    return _E4M3FN[bits]


def _e4m3fn() -> np.ndarray:
    bits = np.arange(256)
    exponent, mantissa = bits >> 3 & 15, bits & 7
    size = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    size[bits & 127 == 127] = np.nan
    return np.where(bits < 128, size, -size).astype(np.float32)


_E4M3FN: Final = _e4m3fn()
