"""Symbols of unequal frequency in fewer bits: the class of each symbol, then its place among the members of the class.

Frequent symbols share small classes, rare ones large classes, so a symbol takes bits(classes) + bits(size of class): a
prefix code of two levels, near the entropy for bell-shaped and geometric frequencies, and decoded by a handful of
operators over whole arrays. Places in classes of one size are stored together, in the order of the symbols; where a
symbol's place is found there is a matter of counting, as in counting sort.
Source: Elias, "Universal codeword sets", IEEE Trans. Inf. Theory 21, 1975 (a prefix says how the rest is read).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from condensa_core.export.packing.digits import PLANE_BYTES, Digits, digit_bits, radices_of
from condensa_core.export.packing.expressions import Constant, Expression, cast, integers, operation, reshaped
from condensa_core.export.packing.numbers import stored_numbers

MOST_SYMBOLS: Final = 256
_COUNTS: Final = (2, 3, 4, 6, 8, 12, 16)  # of classes: what fills bytes
# Sizes of classes that may occur together. A size takes nodes and, at load, memory; a class takes next to nothing.
_SIZES: Final = (
    (1, 256), (2, 16), (4, 16), (4, 256), (1, 4, 16), (2, 6, 36), (4, 16, 64), (3, 16, 256), (1, 2, 16, 256),
    (2, 4, 16, 256), (1, 3, 6, 36, 256),
)  # fmt: skip
_CLASS_BITS: Final = 64  # two numbers in tables
_FEWEST: Final = 512  # symbols; the nodes cost more than fewer could save
# Decoding holds some 13 bytes a symbol and size at once; beyond this a smaller file is not worth the memory at load.
_LARGEST_ONE_HOT: Final = 2**26  # symbols x sizes


@dataclass(frozen=True, eq=False)
class Classes:
    """Class c has the symbols from `starts[c]` on; there are up to `sizes[groups[c]]` of them."""

    classes: Digits
    starts: np.ndarray
    groups: np.ndarray
    places: tuple[Digits, ...]  # by group, in the order of the symbols

    @staticmethod
    def of(symbols: np.ndarray, k: int) -> Classes | None:
        """The cheapest classes of consecutive symbols, None where that cannot pay: few symbols, or too many."""
        if not 3 <= k <= MOST_SYMBOLS or symbols.size < _FEWEST:
            return None
        starts, sizes = cheapest_classes(np.bincount(symbols, minlength=k))
        used = np.unique(sizes)
        if len(starts) < 2 or symbols.size * len(used) > _LARGEST_ONE_HOT:
            return None
        classes = np.searchsorted(starts, symbols, side="right") - 1
        places = symbols - starts[classes]
        groups = np.searchsorted(used, sizes)
        by_group = tuple(Digits.of(places[groups[classes] == g], int(size)) for g, size in enumerate(used))
        return Classes(Digits.of(classes, len(starts)), starts, groups, by_group)

    def indices(self) -> Expression:
        """The symbols as int32."""
        classes = self.classes.indices()
        starts = operation("Gather", Constant(self.starts.astype(np.int32)), classes)
        places = self.places[0].indices()
        if len(self.places) > 1:
            stored = [stream.indices() for stream in self.places if stream.count]
            groups = operation("Gather", Constant(self.groups.astype(np.int32)), classes)
            places = operation("Gather", operation("Concat", *stored, axis=0), self._order(groups))
        return operation("Add", starts, places)

    def look_up(self, book: np.ndarray) -> Expression:
        """`book[symbols]` in float32."""
        return operation("Gather", stored_numbers(book), self.indices())

    def _order(self, groups: Expression) -> Expression:
        """Where each symbol stands when symbols are sorted by group, those of one group in their order."""
        count, n = len(self.places), self.classes.count
        labels = Constant(np.arange(count, dtype=np.int32).reshape(count, 1))
        one_hot = cast(operation("Equal", groups, labels), np.int32)  # groups x n
        before = operation("CumSum", reshaped(one_hot, count * n), Constant(np.array(0, dtype=np.int64)), exclusive=1)
        return operation("ReduceSum", operation("Mul", one_hot, reshaped(before, count, n)), integers(0), keepdims=0)


def cheapest_classes(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(starts, sizes) of classes of consecutive symbols that take the fewest bits for symbols with these frequencies.

    The sizes are those of one of a few sets, the least that holds the class. One class means: no classes.
    """
    found = [_cheapest_with(counts, sizes) for sizes in _SIZES]
    _, starts, sizes = min(found, key=lambda each: each[0])
    return starts, sizes


def _cheapest_with(counts: np.ndarray, allowed: tuple[int, ...]) -> tuple[float, np.ndarray, np.ndarray]:
    """Bits, starts and sizes by dynamic programming: least[j] is the cost of the first j symbols in so many classes."""
    k = counts.size
    total = np.concatenate([[0], np.cumsum(counts)]).astype(np.float64)
    begin, end = np.meshgrid(np.arange(k + 1), np.arange(k + 1), indexing="ij")
    held = np.searchsorted(allowed, end - begin)
    bits = np.array([*(digit_bits(size) for size in allowed), np.inf])
    with np.errstate(invalid="ignore"):  # 0 x infinity, at lengths that no size holds
        cost = np.where((end > begin) & (held < len(allowed)), (total[end] - total[begin]) * bits[held], np.inf)
    best, bounds = total[-1] * digit_bits(k) + 8 * PLANE_BYTES * len(radices_of(k)), [0, k]
    least, froms = cost[0], []
    for count in range(2, max(_COUNTS) + 1):
        through = least[:, None] + cost  # the last class begins at the row's symbol
        froms.append(through.argmin(axis=0))
        least = through.min(axis=0)
        if count not in _COUNTS:
            continue
        here = least[k] + total[-1] * digit_bits(count) + count * _CLASS_BITS + 8 * PLANE_BYTES * (2 + len(allowed))
        if here < best:
            best, bounds = float(here), _walked_back(froms, k)
    starts = np.array(bounds[:-1])
    lengths = np.diff(bounds)
    return best, starts, np.array([next((size for size in allowed if size >= n), n) for n in lengths])


def _walked_back(froms: list[np.ndarray], k: int) -> list[int]:
    bounds = [k]
    for step in reversed(froms):
        bounds.append(int(step[bounds[-1]]))
    return [0, *reversed(bounds)]
