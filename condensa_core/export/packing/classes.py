"""Symbols of unequal frequency in fewer bits: the class of each symbol, then its place in the class.

Frequent symbols share small classes, rare ones large ones; a place takes as many bits as its class needs. Classes are
stored as digits, places as one stream of bits, in which every place is found by summing the widths before it: a prefix
code near the entropy for bell-shaped and geometric frequencies, decoded by a handful of operators over whole arrays.
Source: Elias, "Universal codeword sets", IEEE Trans. Inf. Theory 21, 1975 (a prefix says how many bits follow).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from condensa_core.export.packing.digits import PLANE_BYTES, Digits, digit_bits
from condensa_core.export.packing.expressions import Constant, Expression, cast, index, integers, operation
from condensa_core.export.packing.numbers import stored_numbers

MOST_SYMBOLS: Final = 256  # so that a place has at most 8 bits, and lies within two bytes
_COUNTS: Final = (2, 3, 4, 6, 8, 12, 16)  # of classes: what fills bytes
_CLASS_BITS: Final = 96  # three numbers in tables
_NODES: Final = 6  # the nodes of decoding take about as much as those of so many planes
_FIRST: Final = Constant(np.array(0, dtype=np.int64))  # the axis of sums over a one-dimensional tensor


@dataclass(frozen=True, eq=False)
class Layout:
    """Class c has the symbols from `starts[c]` up to the next start, whose places take `widths[c]` bits."""

    bits: float  # of all symbols with the frequencies it is made for, nodes included
    starts: np.ndarray
    widths: np.ndarray


@dataclass(frozen=True, eq=False)
class Classes:
    """The class of each symbol, and the bits of their places: the first in the lowest bit of the first byte."""

    classes: Digits
    places: np.ndarray  # bytes, and one more
    layout: Layout

    @staticmethod
    def of(symbols: np.ndarray, layout: Layout) -> Classes:
        """The symbols in the classes of a layout."""
        classes = np.searchsorted(layout.starts, symbols, side="right") - 1
        places, widths = symbols - layout.starts[classes], layout.widths[classes]
        ends = np.cumsum(widths)
        bits = np.zeros(int(ends[-1]), dtype=np.uint8)
        for bit in range(int(layout.widths.max())):
            has = widths > bit
            bits[(ends - widths)[has] + bit] = places[has] >> bit & 1
        packed = np.concatenate([np.packbits(bits, bitorder="little"), np.zeros(2, np.uint8)])
        return Classes(Digits.of(classes, len(layout.starts)), packed, layout)

    def indices(self) -> Expression:
        """The symbols as int32."""
        classes = self.classes.indices()
        widths = operation("Gather", _table(self.layout.widths), classes)
        begins = operation("CumSum", widths, _FIRST, exclusive=1)
        words = operation("Gather", self._words(), operation("Div", begins, index(8)))
        shifts = operation("Gather", _table(1 << np.arange(8)), operation("Mod", begins, index(8)))
        sizes = operation("Gather", _table(1 << self.layout.widths), classes)
        places = operation("Mod", operation("Div", words, shifts), sizes)
        return operation("Add", operation("Gather", _table(self.layout.starts), classes), places)

    def look_up(self, book: np.ndarray) -> Expression:
        """`book[symbols]` in float32."""
        return operation("Gather", stored_numbers(book), self.indices())

    def _words(self) -> Expression:
        """The 16 bits from every byte on."""
        stored = cast(Constant(self.places), np.int32)
        count = self.places.size
        low = operation("Slice", stored, integers(0), integers(count - 1))
        high = operation("Slice", stored, integers(1), integers(count))
        return operation("Add", low, operation("Mul", high, index(256)))


def cheapest_classes(counts: np.ndarray) -> Layout:
    """The classes of consecutive symbols, two or more, that take the fewest bits for 2 to 256 symbols so frequent.

    By dynamic programming: least[j] is the cost of the places of the first j symbols in so many classes.
    """
    k = counts.size
    total = np.concatenate([[0], np.cumsum(counts)]).astype(np.float64)
    begin, end = np.meshgrid(np.arange(k + 1), np.arange(k + 1), indexing="ij")
    length = np.maximum(end - begin, 1)
    cost = np.where(end > begin, (total[end] - total[begin]) * np.ceil(np.log2(length)), np.inf)
    best = Layout(np.inf, np.array([0]), np.array([8]))
    least, froms = cost[0], []
    for count in range(2, min(k, max(_COUNTS)) + 1):
        through = least[:, None] + cost  # the last class begins at the row's symbol
        froms.append(through.argmin(axis=0))
        least = through.min(axis=0)
        bits = float(least[k] + total[-1] * digit_bits(count) + count * _CLASS_BITS + 8 * PLANE_BYTES * _NODES)
        if count in _COUNTS and bits < best.bits:
            bounds = _walked_back(froms, k)
            best = Layout(bits, bounds[:-1], np.ceil(np.log2(np.diff(bounds))).astype(np.int64))
    return best


def _walked_back(froms: list[np.ndarray], k: int) -> np.ndarray:
    bounds = [k]
    for step in reversed(froms):
        bounds.append(int(step[bounds[-1]]))
    return np.array([0, *reversed(bounds)])


def _table(numbers: np.ndarray) -> Constant:
    return Constant(numbers.astype(np.int32))
