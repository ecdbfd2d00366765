"""The smallest exact form of an array of float32 numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from condensa_core.export.packing.digits import MOST_SYMBOLS
from condensa_core.export.packing.expressions import (
    Constant,
    Expression,
    index,
    integers,
    operation,
    reshaped,
    stored_bytes,
)
from condensa_core.export.packing.grids import grid_of
from condensa_core.export.packing.numbers import narrowed
from condensa_core.export.packing.positions import stored_positions
from condensa_core.export.packing.symbols import Symbols, stored_symbols

_WORTH_A_LOOK: Final = 64  # values; below, no form beats the raw bytes by more than its own nodes
_FEWEST_AT_BASE: Final = 0.05  # fraction of all numbers; positions of more exceptions cost more than they save
_BOOKS_UNDER_EXCEPTIONS: Final = (1, 2, 3, 4, 6, 16, 36, 64, 128, 256)


@dataclass(frozen=True, eq=False)
class Encoding:
    """A tensor as an expression that a runtime evaluates at load; `label` says in words how it is stored.

    An exact form gives the very numbers; another one may round differently from whoever computed the tensor.
    """

    label: str
    expression: Expression
    exact: bool = True

    @cached_property
    def size_bytes(self) -> int:
        """Everything it puts into a file, nodes and tables included."""
        return stored_bytes(self.expression)


def smallest(values: np.ndarray) -> Encoding:
    """The smallest of all exact forms of float32 `values` of any shape; ties go to the simpler form."""
    raw = Encoding("float32", Constant(values))
    if values.size < _WORTH_A_LOOK or not np.isfinite(values).all():
        return raw
    return min([raw, *_forms(values)], key=lambda encoding: encoding.size_bytes)


def _forms(values: np.ndarray) -> Iterator[Encoding]:
    repeated = _repeated(values)
    if repeated is not None:
        yield repeated
        return  # what follows would find the same numbers, more often
    yield from _unstructured(values)
    yield from _with_grid(values)
    yield from _with_exceptions(values)
    yield from _with_equal_rows(values)


def _unstructured(values: np.ndarray) -> Iterator[Encoding]:
    """Every number on its own: narrow types, one code book for all, one for each row."""
    narrow = narrowed(values)
    if narrow is not None:
        yield Encoding("narrow numbers", narrow)
    distinct = _Distinct.of(values)
    if distinct.count <= min(MOST_SYMBOLS, values.size / 2):
        found = stored_symbols(distinct.symbols, distinct.count).look_up(distinct.book)
        yield Encoding(f"{distinct.count} values", _laid_out(found, values.shape))
    if values.ndim > 1 and distinct.count > 4:
        yield from _book_for_each_row(values)


def _with_grid(values: np.ndarray) -> Iterator[Encoding]:
    grid = grid_of(values)
    if grid is not None:
        whole, scale = grid
        base = min([*_unstructured(whole), *_with_exceptions(whole)], key=lambda encoding: encoding.size_bytes)
        yield Encoding(f"scale x {base.label}", operation("Mul", base.expression, Constant(scale)))


def _with_exceptions(values: np.ndarray) -> Iterator[Encoding]:
    """A constant or a code book of the most frequent values, and the others put in their places: sparse tensors."""
    distinct = _Distinct.of(values)
    counts = distinct.counts
    sizes = [size for size in _BOOKS_UNDER_EXCEPTIONS if size < distinct.count]
    if not sizes:
        return

    def rough_bits(size: int) -> float:
        ground = max(_entropy(counts[:size]), values.size) if size > 1 else 0.0  # a symbol takes one bit or more
        exceptions = counts[size:].sum()
        each = min(32.0, math.log2(distinct.count - size + 1))
        return ground + _entropy(np.array([values.size - exceptions, exceptions])) + 32 * size + exceptions * each

    for size in sorted({sizes[0], *sorted(sizes, key=rough_bits)[:2]}):
        if rough_bits(size) > 32 * values.size or counts[:size].sum() < _FEWEST_AT_BASE * values.size:
            continue
        mask = (distinct.symbols >= size).reshape(values.shape)
        exceptions = values[mask]
        stored = min(
            [Encoding("float32", Constant(exceptions)), *_unstructured(exceptions), *_with_grid_only(exceptions)],
            key=lambda encoding: encoding.size_bytes,
        )
        base = _Fill(distinct.book[0], values.size) if size == 1 else _Book(distinct, size)
        ground = f"{size} values" if size > 1 else ("zeros" if distinct.book[0] == 0 else "one value")
        for positions in stored_positions(mask):
            patched = positions.patched(base, stored.expression)
            label = f"{ground}, exceptions at {positions.label}: {stored.label}"
            yield Encoding(label, _laid_out(patched, values.shape))


def _with_grid_only(values: np.ndarray) -> Iterator[Encoding]:
    grid = grid_of(values)
    if grid is not None:
        whole, scale = grid
        for base in _unstructured(whole):
            yield Encoding(f"scale x {base.label}", operation("Mul", base.expression, Constant(scale)))


def _with_equal_rows(values: np.ndarray) -> Iterator[Encoding]:
    """Rows that occur several times, stored once: removed channels, shared rows of an embedding."""
    if values.ndim < 2:
        return
    rows = np.ascontiguousarray(values.reshape(len(values), -1)) + np.float32(0)  # no negative zeros
    keys = rows.view(f"V{4 * rows.shape[1]}").ravel() if rows.shape[1] else rows.ravel()
    found, first, symbols = np.unique(keys, return_index=True, return_inverse=True)
    if not 1 < len(found) <= 0.75 * len(rows) or len(found) > MOST_SYMBOLS:
        return
    forms = [Encoding("float32", Constant(values[first]))]
    forms += [*_unstructured(values[first]), *_with_grid(values[first]), *_with_exceptions(values[first])]
    kept = min(forms, key=lambda encoding: encoding.size_bytes)
    rank = stored_symbols(symbols, len(found)).indices()
    yield Encoding(f"{len(found)} distinct rows: {kept.label}", operation("Gather", kept.expression, rank))


def _repeated(values: np.ndarray) -> Encoding | None:
    """Every row the same, or equal numbers in runs of one length along the rows, the last run perhaps shorter."""
    rows = values.reshape(len(values) if values.ndim > 1 else 1, -1)
    height, width = rows.shape
    if bool((rows == rows[:1, :1]).all()):
        return Encoding("one value", operation("Expand", Constant(rows[0, :1]), integers(*values.shape)))
    if height > 1 and bool((rows == rows[:1]).all()):
        row = smallest(values[0])
        return Encoding(row.label, operation("Expand", row.expression, integers(*values.shape)))
    changes = np.flatnonzero((rows[:, 1:] != rows[:, :-1]).any(axis=0)) + 1
    run = int(np.gcd.reduce(changes)) if len(changes) else width
    if run == 1:
        return None
    count = -(-width // run)
    each = smallest(rows[:, ::run].ravel())
    spread = operation("Expand", reshaped(each.expression, height, count, 1), integers(height, count, run))
    whole = reshaped(spread, height, count * run)
    if count * run > width:
        whole = operation("Slice", whole, integers(0), integers(width), integers(1))
    label = f"runs of {run}: {each.label}"
    return Encoding(label, whole if values.shape == (height, width) else reshaped(whole, *values.shape))


def _book_for_each_row(values: np.ndarray) -> Iterator[Encoding]:
    rows = values.reshape(len(values), -1)
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    ranks = np.cumsum(np.diff(ordered, axis=1, prepend=ordered[:, :1]) != 0, axis=1)
    k = int(ranks.max()) + 1
    if k > min(256, rows.shape[1] / 4):
        return
    symbols = np.empty_like(ranks)
    np.put_along_axis(symbols, order, ranks, axis=1)
    books = np.zeros((len(rows), k), np.float32)
    np.put_along_axis(books, ranks, ordered, axis=1)
    found = reshaped(stored_symbols(symbols.ravel(), k).indices(), *rows.shape)
    starts = reshaped(operation("Range", index(0), index(len(rows) * k), index(k)), -1, 1)
    places = operation("Add", found, starts)
    table = narrowed(books.ravel())
    gathered = operation("Gather", Constant(books.ravel()) if table is None else table, places)
    yield Encoding(f"{k} values a row", gathered if values.ndim == 2 else reshaped(gathered, *values.shape))


@dataclass(frozen=True, eq=False)
class _Distinct:
    """The values that occur, the most frequent first (ties: the smaller first), and which one stands where."""

    book: np.ndarray
    counts: np.ndarray
    values: np.ndarray

    @staticmethod
    def of(values: np.ndarray) -> _Distinct:
        book, counts = np.unique(values, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return _Distinct(book[order], counts[order], values)

    @property
    def count(self) -> int:
        return len(self.book)

    @cached_property
    def symbols(self) -> np.ndarray:
        order = np.argsort(self.book)
        return np.asarray(order[np.searchsorted(self.book[order], self.values.ravel())])


@dataclass(frozen=True, eq=False)
class _Fill:
    """One value everywhere."""

    value: np.float32
    count: int

    def widened(self) -> Expression:
        return operation("Expand", Constant(np.array([self.value])), integers(self.count + 1))

    def spread(self) -> Expression:
        return Constant(np.array([self.value]))


@dataclass(frozen=True, eq=False)
class _Book:
    """The `size` most frequent values; where another one stands, the most frequent."""

    distinct: _Distinct
    size: int

    def widened(self) -> Expression:
        return self._stored(np.concatenate([[0], self.distinct.symbols])).look_up(self.distinct.book[: self.size])

    def spread(self) -> Expression:
        return self._stored(self.distinct.symbols).look_up(self.distinct.book[: self.size])

    def _stored(self, symbols: np.ndarray) -> Symbols:
        return stored_symbols(np.where(symbols < self.size, symbols, 0), self.size)


def _laid_out(flat: Expression, shape: tuple[int, ...]) -> Expression:
    return flat if len(shape) == 1 else reshaped(flat, *shape)


def _entropy(counts: np.ndarray) -> float:
    """Bits of all symbols with these frequencies."""
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / counts.sum())).sum())
