"""The smallest exact form of an array of float32 numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from condensa_core.export.packing.digits import MOST_SYMBOLS
from condensa_core.export.packing.distinct import Distinct
from condensa_core.export.packing.encoding import Encoding, laid_out
from condensa_core.export.packing.exceptions import with_exceptions
from condensa_core.export.packing.expressions import Constant, index, integers, operation, reshaped
from condensa_core.export.packing.grids import grid_of
from condensa_core.export.packing.numbers import narrowed, stored_numbers
from condensa_core.export.packing.symbols import stored_symbols

# Putting exceptions in place, or adding up the digits of a symbol, holds 30 to 50 bytes a value until the model is
# loaded, other forms 5 to 15: for a large tensor they must save a tenth.
_LARGE: Final = 2**18
_CLEARLY: Final = 0.9
_ONE_BYTE: Final = 256  # symbols
_WORTH_A_LOOK: Final = 64  # values; below, no form beats the raw bytes by more than its own nodes


def smallest(values: np.ndarray) -> Encoding:
    """The smallest of all exact forms of float32 `values` of any shape; ties go to the simpler form."""
    best = Encoding("float32", Constant(values))
    if values.size < _WORTH_A_LOOK or not np.isfinite(values).all():
        return best
    repeated = _repeated(values)
    if repeated is not None:
        return _smaller(best, repeated)
    distinct = Distinct.of(values)
    best = _flat(values, distinct, best)
    best = _smaller(best, *_book_for_each_row(values, distinct), *_with_grid(values, distinct))
    best = _smaller(best, *with_exceptions(values, distinct, _of_exceptions, _worthwhile(best, values)))
    return _smaller(best, *_with_equal_rows(values))


def _flat(values: np.ndarray, distinct: Distinct, best: Encoding) -> Encoding:
    """Every number on its own: raw, in a narrow type, or in one code book."""
    narrow = narrowed(values)
    if narrow is not None:
        best = _smaller(best, Encoding("narrow numbers", narrow))
    if distinct.count <= min(MOST_SYMBOLS, values.size / 2):
        found = stored_symbols(distinct.symbols, distinct.count).look_up(distinct.book)
        book = Encoding(f"{distinct.count} values", laid_out(found, values.shape))
        if distinct.count <= _ONE_BYTE or book.size_bytes < _worthwhile(best, values):
            best = _smaller(best, book)
    return best


def _of_exceptions(values: np.ndarray) -> Encoding:
    """The smallest form of what is left over: positions are no longer worth a look."""
    raw, distinct = Encoding("float32", Constant(values)), Distinct.of(values)
    if values.size < _WORTH_A_LOOK:
        return raw
    return _smaller(_flat(values, distinct, raw), *_with_grid(values, distinct, sparse=False))


def _with_grid(values: np.ndarray, distinct: Distinct, *, sparse: bool = True) -> Iterator[Encoding]:
    """Integers times a scale, one for all or one for each row."""
    grid = grid_of(values, distinct.book)
    if grid is None:
        return
    whole, scale = grid
    of_whole = Distinct.of(whole)
    base = _flat(whole, of_whole, Encoding("float32", Constant(whole)))
    if sparse:
        base = _smaller(base, *with_exceptions(whole, of_whole, _of_integers, _worthwhile(base, values)))
    scaled = operation("Mul", base.expression, stored_numbers(scale))
    yield Encoding(f"scale x {base.label}", scaled)


def _of_integers(values: np.ndarray) -> Encoding:
    return _flat(values, Distinct.of(values), Encoding("float32", Constant(values)))


def _book_for_each_row(values: np.ndarray, distinct: Distinct) -> Iterator[Encoding]:
    if values.ndim < 2 or distinct.count <= 4:
        return
    rows = values.reshape(len(values), -1)
    most = min(256, rows.shape[1] / 4)
    if len(np.unique(rows[0])) > most:
        return
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    ranks = np.cumsum(np.diff(ordered, axis=1, prepend=ordered[:, :1]) != 0, axis=1)
    k = int(ranks.max()) + 1
    if k > most:
        return
    symbols = np.empty_like(ranks)
    np.put_along_axis(symbols, order, ranks, axis=1)
    books = np.zeros((len(rows), k), np.float32)
    np.put_along_axis(books, ranks, ordered, axis=1)
    found = reshaped(stored_symbols(symbols.ravel(), k).indices(), *rows.shape)
    starts = reshaped(operation("Range", index(0), index(len(rows) * k), index(k)), -1, 1)
    gathered = operation("Gather", stored_numbers(books.ravel()), operation("Add", found, starts))
    yield Encoding(f"{k} values a row", gathered if values.ndim == 2 else reshaped(gathered, *values.shape))


def _with_equal_rows(values: np.ndarray) -> Iterator[Encoding]:
    """Rows that occur several times, stored once: removed channels, shared rows of an embedding."""
    if values.ndim < 2 or values[0].size == 1:
        return
    rows = np.ascontiguousarray(values.reshape(len(values), -1)) + np.float32(0)  # no negative zeros
    keys = rows.view(f"V{4 * rows.shape[1]}").ravel()
    found, first, symbols = np.unique(keys, return_index=True, return_inverse=True)
    if not 1 < len(found) <= 0.75 * len(rows) or len(found) > MOST_SYMBOLS:
        return
    kept = smallest(values[first])  # whose rows are all different
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


def _worthwhile(best: Encoding, values: np.ndarray) -> int:
    """Below how many bytes a form that takes much memory to decode is to be preferred."""
    return best.size_bytes if values.size <= _LARGE else int(_CLEARLY * best.size_bytes)


def _smaller(best: Encoding, *others: Encoding) -> Encoding:
    return min([best, *others], key=lambda encoding: encoding.size_bytes)
