"""A tensor as a ground (one value, or a code book of the most frequent ones) and exceptions put in their places.

A sparse tensor is a ground of zeros; a code book with corrections is one of the book's values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from condensa_core.export.packing.distinct import Distinct
from condensa_core.export.packing.encoding import Encoding, laid_out
from condensa_core.export.packing.expressions import Constant, Expression, integers, operation
from condensa_core.export.packing.positions import stored_positions
from condensa_core.export.packing.symbols import stored_symbols, symbol_bits

_BOOKS: Final = (1, 2, 3, 4, 6, 16, 36, 64, 128, 256)
_MOST_EXCEPTIONS: Final = 0.95  # fraction of all numbers


def with_exceptions(
    values: np.ndarray, distinct: Distinct, smallest: Callable[[np.ndarray], Encoding], size_bytes: int
) -> Iterator[Encoding]:
    """Forms that take less than `size_bytes`; `smallest` stores the exceptions, a tensor of one dimension."""
    counts = distinct.counts
    sizes = [s for s in _BOOKS if s < distinct.count and counts[s:].sum() <= _MOST_EXCEPTIONS * values.size]
    promising = sorted((bits, s) for s in sizes if (bits := _least_bits(counts, s)) < 8 * size_bytes)
    for _, size in promising[:2]:
        mask = (distinct.symbols >= size).reshape(values.shape)
        stored = smallest(values[mask])
        ground = _Fill(distinct.book[0], values.size) if size == 1 else _Book(distinct, size)
        for positions in stored_positions(mask):
            patched = laid_out(positions.patched(ground, stored.expression), values.shape)
            form = Encoding(f"{ground.label}, exceptions at {positions.label}: {stored.label}", patched)
            if form.size_bytes < size_bytes:
                yield form


def _least_bits(counts: np.ndarray, size: int) -> float:
    """About what a form with a book of this size takes, its exceptions and their places at their entropy."""
    exceptions = counts[size:].sum()
    under = np.concatenate([[counts[0] + exceptions], counts[1:size]])
    where = _entropy(np.array([counts[:size].sum(), exceptions]))
    return symbol_bits(under) + where + _entropy(counts[size:]) + 8 * size


def _entropy(counts: np.ndarray) -> float:
    """Bits of all symbols with these frequencies."""
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


@dataclass(frozen=True, eq=False)
class _Fill:
    """One value everywhere."""

    value: np.float32
    count: int

    @property
    def label(self) -> str:
        return "zeros" if self.value == 0 else "one value"

    @property
    def widened(self) -> Expression:
        return operation("Expand", self.spread, integers(self.count + 1))

    @property
    def spread(self) -> Expression:
        return Constant(np.array([self.value]))


@dataclass(frozen=True, eq=False)
class _Book:
    """The `size` most frequent values; where another one stands, the most frequent."""

    distinct: Distinct
    size: int

    @property
    def label(self) -> str:
        return f"{self.size} values"

    @cached_property
    def widened(self) -> Expression:
        return self._stored(np.concatenate([[0], self.distinct.symbols]))

    @cached_property
    def spread(self) -> Expression:
        return self._stored(self.distinct.symbols)

    def _stored(self, symbols: np.ndarray) -> Expression:
        ground = stored_symbols(np.where(symbols < self.size, symbols, 0), self.size)
        return ground.look_up(self.distinct.book[: self.size])
