"""Names, element types and shapes of what goes into a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

# Element types as ONNX names them, and the arrays that hold them: those a runtime can be fed from Python.
DTYPES: Final = {
    "FLOAT": np.float32, "FLOAT16": np.float16, "DOUBLE": np.float64,
    "INT64": np.int64, "INT32": np.int32, "INT16": np.int16, "INT8": np.int8,
    "UINT64": np.uint64, "UINT32": np.uint32, "UINT16": np.uint16, "UINT8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
_BITS: Final = {"BOOL": 8, "DOUBLE": 64, "COMPLEX64": 64, "COMPLEX128": 128}


@dataclass(frozen=True)
class TensorSignature:
    """An input or output; an open dimension is its symbol, or None where it has no name."""

    name: str
    element: str  # FLOAT, INT64, ... as ONNX names them
    shape: tuple[int | str | None, ...]
    interval: tuple[float, float] | None = None  # what an input is meant to hold, where the file says so

    def __str__(self) -> str:
        sizes = " x ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.element} [{sizes}]"


def bits_of(element: str) -> int:
    """Bits an element takes in memory; 0 where its name does not tell (strings)."""
    if element in _BITS:
        return _BITS[element]
    digits = re.match(r"(?:B?FLOAT|U?INT)(\d*)", element)
    return int(digits[1] or 32) if digits else 0


def in_order_of(theirs: Sequence[str], ours: Sequence[str]) -> list[str]:
    """Our names in the order of theirs where the two hold the same names, else in our own: what pairs with what."""
    return list(theirs) if set(theirs) == set(ours) else list(ours)
