"""Symbols as digits of a mixed radix, several digits to a byte: within 5 % of log2(k) bits for most k up to 65536.

A symbol s in 0..k-1 is written as digits s = d_1 + r_1 (d_2 + r_2 (d_3 + ...)) with r_1 r_2 ... >= k. Digits of one
place form a plane of bytes that hold as many of them as fit: 8 binary, 5 ternary, 4, 3 (radix 6), 2 (radix 16) or 1.
A plane is decoded by one lookup of each byte in a table of 256 rows, which is computed at load.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from condensa_core.export.packing.expressions import Constant, Expression, cast, index, integers, operation, reshaped
from condensa_core.export.packing.numbers import stored_numbers

PER_BYTE: Final = {2: 8, 3: 5, 4: 4, 6: 3, 16: 2, 256: 1}  # radix -> digits in a byte, radix ** digits <= 256
MOST_SYMBOLS: Final = 2**16
MOST_PLANES: Final = 4
PLANE_BYTES: Final = 120  # what a plane costs in nodes, whatever its length: a further one must save more


@functools.cache
def radices_of(k: int, planes: int = MOST_PLANES) -> tuple[int, ...]:
    """The radices with product >= k, at most `planes` of them, that take the fewest bits; k <= 256 ** planes.

    Equal cost: fewer planes. Nothing needs to be stored for k = 1.
    """
    if k <= 1:
        return ()
    sets = (s for count in range(1, planes + 1) for s in itertools.combinations_with_replacement(PER_BYTE, count))
    enough = [s for s in sets if math.prod(s) >= k]
    return min(enough, key=lambda s: (round(sum(8 / PER_BYTE[r] for r in s), 6), len(s)))


@functools.cache
def digit_bits(k: int, planes: int = MOST_PLANES) -> float:
    """Bits a symbol takes among k, in at most so many planes; infinite where these do not suffice."""
    return sum(8 / PER_BYTE[r] for r in radices_of(k, planes)) if k <= 256**planes else math.inf


@dataclass(frozen=True, eq=False)
class Digits:
    """`count` symbols below `k` as planes of bytes."""

    count: int
    k: int
    planes: tuple[np.ndarray, ...]
    radices: tuple[int, ...]

    @staticmethod
    def of(symbols: np.ndarray, k: int) -> Digits:
        """The symbols (integers in 0..k-1, one dimension) in the radices that take the fewest bytes."""
        enough = [radices_of(k, planes) for planes in range(1, MOST_PLANES + 1) if k <= 256**planes]
        radices = min(enough, key=lambda s: sum(symbols.size / PER_BYTE[r] + PLANE_BYTES for r in s))
        planes, rest = [], symbols.astype(np.int64)
        for radix in radices:
            planes.append(_bytes_of(rest % radix, radix))
            rest //= radix
        return Digits(symbols.size, k, tuple(planes), radices)

    def indices(self) -> Expression:
        """The symbols as int32, `count` of them."""
        if not self.planes:
            return operation("Expand", index(0), integers(self.count))
        total, weight = None, 1
        for plane, radix in zip(self.planes, self.radices, strict=True):
            digits = self._flat(_plane(plane, radix, weight))
            total = digits if total is None else operation("Add", total, digits)
            weight *= radix
        assert total is not None
        return total

    def look_up(self, book: np.ndarray) -> Expression:
        """`book[symbols]` in float32: count x the trailing shape of the book, which has k rows."""
        if not self.planes:
            return operation("Expand", stored_numbers(book), integers(self.count, *book.shape[1:]))
        if len(self.planes) > 1:
            return operation("Gather", stored_numbers(book), self.indices())
        radix = self.radices[0]
        if PER_BYTE[radix] == 1:
            return operation("Gather", stored_numbers(book), _widened(self.planes[0]))
        # the book goes into the table of bytes, so that no index is ever held for every weight
        padded = np.concatenate([book, np.zeros((radix - len(book), *book.shape[1:]), book.dtype)])
        table = operation("Gather", stored_numbers(padded), _table(radix))
        return self._flat(operation("Gather", table, _widened(self.planes[0])), *book.shape[1:])

    def _flat(self, digits: Expression, *trailing: int) -> Expression:
        """Bytes x digits x trailing as symbols x trailing, without the padding of the last byte."""
        flat = reshaped(digits, -1, *trailing)
        if all(self.count % PER_BYTE[radix] == 0 for radix in self.radices):
            return flat
        return operation("Slice", flat, integers(0), integers(self.count))


def _bytes_of(digits: np.ndarray, radix: int) -> np.ndarray:
    per_byte = PER_BYTE[radix]
    padded = np.zeros(-(-digits.size // per_byte) * per_byte, dtype=np.int64)
    padded[: digits.size] = digits
    return (padded.reshape(-1, per_byte) @ radix ** np.arange(per_byte)).astype(np.uint8)


def _widened(plane: np.ndarray) -> Expression:
    return cast(Constant(plane), np.int32)


def _plane(plane: np.ndarray, radix: int, weight: int) -> Expression:
    """The plane's digits times `weight`: bytes x digits."""
    if PER_BYTE[radix] == 1:
        digits: Expression = _widened(plane)
        return digits if weight == 1 else operation("Mul", digits, index(weight))
    table = _table(radix)
    return operation("Gather", table if weight == 1 else operation("Mul", table, index(weight)), _widened(plane))


def _table(radix: int) -> Expression:
    """The digits of every byte, 256 x digits, least first."""
    numbers = reshaped(operation("Range", index(0), index(256), index(1)), 256, 1)
    powers = Constant((radix ** np.arange(PER_BYTE[radix])).astype(np.int32))
    return operation("Mod", operation("Div", numbers, powers), index(radix))
