"""A stream of small integers in the fewest bytes."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from condensa_core.export.packing.classes import Classes
from condensa_core.export.packing.digits import Digits
from condensa_core.export.packing.expressions import Expression, stored_bytes


class Symbols(Protocol):
    """Symbols 0..k-1 as they are stored."""

    def indices(self) -> Expression:
        """The symbols, int32, one dimension."""

    def look_up(self, book: np.ndarray) -> Expression:
        """`book[symbols]`, float32."""


def stored_symbols(symbols: np.ndarray, k: int) -> Symbols:
    """The symbols (one dimension, integers in 0..k-1, k <= 65536) in whichever form is smallest."""
    digits = Digits.of(symbols, k)
    classes = Classes.of(symbols, k)
    if classes is None or stored_bytes(classes.indices()) >= stored_bytes(digits.indices()):
        return digits
    return classes
