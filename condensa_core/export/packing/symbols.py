"""A stream of small integers in the fewest bytes."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from condensa_core.export.packing.classes import MOST_SYMBOLS, Classes, Layout, cheapest_classes
from condensa_core.export.packing.digits import PLANE_BYTES, Digits, digit_bits, radices_of
from condensa_core.export.packing.expressions import Expression

# Symbols that classes are tried for. Their nodes cost more than fewer could save; and decoding holds some 60 bytes a
# symbol until the model is loaded, where digits hold 8, which for larger tensors no fifth of a file is worth.
_CLASSED: Final = range(512, 2**18 + 1)


class Symbols(Protocol):
    """Symbols 0..k-1 as they are stored."""

    def indices(self) -> Expression:
        """The symbols, int32, one dimension."""

    def look_up(self, book: np.ndarray) -> Expression:
        """`book[symbols]`, float32."""


def stored_symbols(symbols: np.ndarray, k: int) -> Symbols:
    """The symbols (one dimension, integers in 0..k-1) in whichever form is smaller."""
    counts = np.bincount(symbols, minlength=k)
    layout = _layout(counts)
    return Digits.of(symbols, k) if layout is None else Classes.of(symbols, layout)


def symbol_bits(counts: np.ndarray) -> float:
    """What `stored_symbols` takes for symbols with these frequencies, nodes included, to within a few bytes."""
    layout = _layout(counts)
    return _digits_bits(counts) if layout is None else layout.bits


def _layout(counts: np.ndarray) -> Layout | None:
    """The classes for symbols with these frequencies, None where digits are smaller."""
    if not 3 <= counts.size <= MOST_SYMBOLS or int(counts.sum()) not in _CLASSED:
        return None
    layout = cheapest_classes(counts)
    return layout if layout.bits < _digits_bits(counts) else None


def _digits_bits(counts: np.ndarray) -> float:
    k = counts.size
    return float(counts.sum() * digit_bits(k) + 8 * PLANE_BYTES * len(radices_of(k)))
