"""Where the exceptions of a tensor are, and how they are put in place: gaps, or one bit a position in patterns.

Gaps: how many positions are passed before the next exception, in 0..k-2; the symbol k-1 passes k-1 positions without
meeting one. With k = 64 that is within 10 % of the entropy at 5 % exceptions. Patterns: runs of positions share few
bitmaps where exceptions come in blocks or N of M; a run of one is the plain bitmap.
Source of gap coding: Han, Mao and Dally, Deep Compression, arXiv:1510.00149, section 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from condensa_core.export.packing.expressions import Constant, Expression, cast, index, integers, operation, reshaped
from condensa_core.export.packing.symbols import Symbols, stored_symbols, symbol_bits

_GAP_SYMBOLS: Final = (3, 4, 6, 9, 12, 16, 18, 24, 32, 36, 48, 64, 96, 128, 192, 256)
_ESCAPE_BITS: Final = 8 * 250  # the nodes that tell symbols with an exception from those without
_RUNS: Final = (1, 2, 4, 8, 16, 32)
_WORD: Final = 62  # positions in an int64
_MOST_PATTERNS: Final = 4096
_FIRST: Final = Constant(np.array(0, dtype=np.int64))  # the axis of sums over a one-dimensional tensor


class Base(Protocol):
    """What stands at the other positions."""

    @property
    def widened(self) -> Expression:
        """One dimension, with one more number of no meaning in front."""

    @property
    def spread(self) -> Expression:
        """One dimension, or one number for all."""


class Positions(Protocol):
    """The stored positions of a tensor's exceptions."""

    @property
    def label(self) -> str:
        """For reports."""

    def patched(self, base: Base, values: Expression) -> Expression:
        """The base, one dimension, with `values` at the positions, in order."""


@dataclass(frozen=True, eq=False)
class Gaps:
    """`symbols` as above, over `count` positions."""

    symbols: Symbols
    k: int
    count: int
    escapes: bool

    @property
    def label(self) -> str:
        """For reports."""
        return f"gaps of {self.k}"

    def patched(self, base: Base, values: Expression) -> Expression:
        """By scattering; escapes write the number in front, which is then dropped."""
        gaps = self.symbols.indices()
        steps = operation("Add", gaps, index(1))
        if not self.escapes:
            places: Expression = operation("CumSum", steps, _FIRST)
        else:
            steps = operation("Min", steps, index(self.k - 1))
            meets = cast(operation("Less", gaps, index(self.k - 1)), np.int32)
            places = operation("Mul", operation("CumSum", steps, _FIRST), meets)
            values = operation("Gather", values, operation("CumSum", meets, _FIRST, exclusive=1))
        scattered = operation("ScatterElements", base.widened, places, values)
        return operation("Slice", scattered, integers(1), integers(self.count + 1))


@dataclass(frozen=True, eq=False)
class Patterns:
    """`symbols` choose one of `book`'s rows for each run of positions."""

    symbols: Symbols
    book: np.ndarray  # patterns x run, 0 or 1
    count: int

    @property
    def label(self) -> str:
        """For reports."""
        run = self.book.shape[1]
        return "a bitmap" if run == 1 else f"{len(self.book)} bitmaps of {run}"

    def patched(self, base: Base, values: Expression) -> Expression:
        """By looking up each position's rank among the exceptions."""
        plain = self.book.shape[1] == 1
        bits = self.symbols.indices() if plain else cast(self.symbols.look_up(self.book), np.int32)
        bits = bits if plain else reshaped(bits, self.count)
        ranks = operation("Mul", operation("CumSum", bits, _FIRST, exclusive=1), bits)
        return operation("Where", cast(bits, np.bool_), operation("Gather", values, ranks), base.spread)


def stored_positions(mask: np.ndarray) -> list[Positions]:
    """The best of either form for the True entries of a mask of any shape, of which there is at least one."""
    flat = mask.ravel()
    gaps = np.diff(np.flatnonzero(flat), prepend=-1) - 1
    k = min(_GAP_SYMBOLS, key=lambda k: _gap_bits(gaps, k))
    symbols = _gap_symbols(gaps, k)
    best = Gaps(stored_symbols(symbols, k), k, flat.size, bool((symbols == k - 1).any()))
    found = [_found(flat, run) for run in sorted({*_RUNS, mask.shape[-1], math.prod(mask.shape[2:])})]
    bits, book, patterns = min((each for each in found if each is not None), key=lambda each: each[0])
    if bits > 2 * flat.size:
        return [best]
    return [best, Patterns(stored_symbols(patterns, len(book)), book, flat.size)]


def _gap_bits(gaps: np.ndarray, k: int) -> float:
    escapes = _ESCAPE_BITS if int(gaps.max()) >= k - 1 else 0
    return symbol_bits(np.bincount(_gap_symbols(gaps, k), minlength=k)) + escapes


def _gap_symbols(gaps: np.ndarray, k: int) -> np.ndarray:
    escapes = gaps // (k - 1)
    symbols = np.full(gaps.size + int(escapes.sum()), k - 1)
    symbols[np.cumsum(escapes + 1) - 1] = gaps % (k - 1)
    return symbols


def _found(flat: np.ndarray, run: int) -> tuple[float, np.ndarray, np.ndarray] | None:
    """(bits, book, symbols) of the patterns of runs, the most frequent first; None where there are too many."""
    if flat.size % run:
        return None
    if run == 1:
        return symbol_bits(np.bincount(flat, minlength=2)), np.array([[0], [1]]), flat.astype(np.int64)
    rows = flat.reshape(-1, run)
    if run <= _WORD:
        keys = rows @ (1 << np.arange(run))
    else:
        packed = np.packbits(rows, axis=1)
        keys = packed.view(f"V{packed.shape[1]}").ravel()
    found, first, symbols, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    if len(found) > _MOST_PATTERNS:
        return None
    order = np.argsort(-counts, kind="stable")
    book = rows[first[order]].astype(np.float32)
    return symbol_bits(counts[order]) + 8 * book.size, book, np.argsort(order)[symbols]
