"""Symbols of unequal frequency in fewer bits: the class of each symbol, then its place among the members of the class.

Frequent symbols share small classes, rare ones large classes, so a symbol takes bits(classes) + bits(members of its
class): a prefix code of two levels, within a few percent of the entropy for bell-shaped and geometric frequencies, that
is decoded by a handful of operators over whole arrays. The members are stored class after class; a symbol's place in
that order is found by counting, as in counting sort.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from condensa_core.export.packing.digits import PER_BYTE, Digits, digit_bits
from condensa_core.export.packing.expressions import Constant, Expression, cast, index, integers, operation, reshaped

MOST_SYMBOLS: Final = 256
_CLASS_COUNTS: Final = tuple(count for count in PER_BYTE if count <= 16)
# Decoding holds some 13 bytes a symbol and class at once; beyond this a smaller file is not worth the memory at load.
_LARGEST_ONE_HOT: Final = 2**26  # symbols x classes


@dataclass(frozen=True, eq=False)
class Classes:
    """`classes` says which class each symbol is in; class c has the symbols `starts[c]` to `starts[c + 1]`."""

    classes: Digits
    starts: tuple[int, ...]
    members: tuple[Digits, ...]

    @staticmethod
    def of(symbols: np.ndarray, k: int) -> Classes | None:
        """The cheapest classes of consecutive symbols, None where that cannot pay: few symbols, or too many."""
        if not 3 <= k <= MOST_SYMBOLS or symbols.size < 512:
            return None
        starts = _cheapest_starts(np.bincount(symbols, minlength=k))
        count = len(starts) - 1
        if count < 2 or symbols.size * count > _LARGEST_ONE_HOT:
            return None
        classes = np.searchsorted(starts, symbols, side="right") - 1
        members = tuple(
            Digits.of(symbols[classes == c] - start, starts[c + 1] - start) for c, start in enumerate(starts[:-1])
        )
        return Classes(Digits.of(classes, count), starts, members)

    def indices(self) -> Expression:
        """The symbols as int32."""
        members = [
            operation("Add", m.indices(), index(start)) if start else m.indices()
            for m, start in zip(self.members, self.starts, strict=False)
            if m.count
        ]
        return operation("Gather", operation("Concat", *members, axis=0), self._places())

    def look_up(self, book: np.ndarray) -> Expression:
        """`book[symbols]` in float32."""
        bounds = zip(self.members, self.starts, self.starts[1:], strict=False)
        members = [m.look_up(book[start:end]) for m, start, end in bounds if m.count]
        return operation("Gather", operation("Concat", *members, axis=0), self._places())

    def _places(self) -> Expression:
        """Where each symbol stands when the symbols are sorted by class, equal classes in their order."""
        count, n = len(self.members), self.classes.count
        labels = Constant(np.arange(count, dtype=np.int32).reshape(count, 1))
        one_hot = cast(operation("Equal", self.classes.indices(), labels), np.int32)  # classes x n
        before = operation("CumSum", reshaped(one_hot, count * n), Constant(np.array(0, dtype=np.int64)), exclusive=1)
        return operation(
            "ReduceSum", operation("Mul", one_hot, reshaped(before, count, n)), integers(0), keepdims=0
        )


def _cheapest_starts(counts: np.ndarray) -> tuple[int, ...]:
    """Bounds of classes of consecutive symbols with the fewest bits in all, by dynamic programming; (0, k) is one class.

    least[j] is the cost of the first j symbols in the classes so far. A class count is a radix that fills bytes well.
    """
    k = counts.size
    total = np.concatenate([[0], np.cumsum(counts)]).astype(np.float64)
    sizes = np.array([0.0] + [digit_bits(size) for size in range(1, k + 1)])
    begin, end = np.meshgrid(np.arange(k + 1), np.arange(k + 1), indexing="ij")
    cost = np.where(end > begin, (total[end] - total[begin]) * sizes[np.maximum(end - begin, 0)], np.inf)
    best, chosen = total[-1] * sizes[k], (0, k)
    least, froms = cost[0].copy(), []
    for count in range(2, max(_CLASS_COUNTS) + 1):
        through = least[:, None] + cost  # last class begins at the row's index
        froms.append(through.argmin(axis=0))
        least = through.min(axis=0)
        if count in _CLASS_COUNTS and least[k] + total[-1] * digit_bits(count) < best:
            best = least[k] + total[-1] * digit_bits(count)
            chosen = _walk_back(froms, k)
    return chosen


def _walk_back(froms: list[np.ndarray], k: int) -> tuple[int, ...]:
    bounds = [k]
    for step in reversed(froms):
        bounds.append(int(step[bounds[-1]]))
    return (0, *reversed(bounds))
