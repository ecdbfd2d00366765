"""A tensor put together from the terms a scheme made it of: products, scaled integers, sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from torch import Tensor

from condensa_core.export.packing.encodings import Encoding, smallest
from condensa_core.export.packing.expressions import Constant, Expression, integers, operation, reshaped
from condensa_core.schemes.terms import Plain, Product, Scaled, Term

_CLOSE: Final = 1e-6  # of the largest value: as near as two float32 products of the same factors come
_MOST_PIECES: Final = 16  # of a new order of rows; more are cheaper as one index


def assembled(name: str, values: np.ndarray, terms: Mapping[str, Sequence[Term]]) -> Iterator[Encoding]:
    """The tensor as a sum of its terms: of the parameter of its name, else of those whose values it holds.

    A tensor may be a parameter, its transpose, or several parameters above each other with rows in another order, as
    gates of recurrent layers are. Nothing where no terms say more than the values do.
    """
    if name in terms:
        terms = {name: terms[name], **terms}  # its own first
    for pieces in terms.values():
        if _says_more(pieces):
            dense = _dense(pieces)
            if _same(dense, values):
                yield _sum(pieces)
                return
            if dense.ndim == 2 and _same(dense.T, values):
                yield _with(_sum(pieces), lambda x: operation("Transpose", x, perm=[1, 0]))
                return
    yield from _from_blocks(values, terms)


def _from_blocks(values: np.ndarray, terms: Mapping[str, Sequence[Term]]) -> Iterator[Encoding]:
    """Matrices stacked along the rows, each with its rows in another order."""
    if values.ndim < 2:
        return
    rows = values.reshape(-1, values.shape[-1])
    blocks: list[Encoding] = []
    start = 0
    while start < len(rows):
        for pieces in terms.values():
            dense = _dense(pieces) if _says_more(pieces) else np.empty((0, 0))
            if dense.ndim == 2 and len(dense) and dense.shape[1] == rows.shape[1]:
                order = _row_order(rows[start : start + len(dense)], dense)
                if order is not None:
                    blocks.append(_with(_sum(pieces), lambda x, order=order: _reordered(x, order)))
                    start += len(dense)
                    break
        else:
            return
    whole = blocks[0].expression
    if len(blocks) > 1:
        whole = operation("Concat", *(block.expression for block in blocks), axis=0)
    label = "; ".join(dict.fromkeys(block.label for block in blocks))
    yield Encoding(label, reshaped(whole, *values.shape) if values.ndim > 2 else whole, exact=False)


def _row_order(block: np.ndarray, dense: np.ndarray) -> np.ndarray | None:
    """`order` with `dense[order]` close to `block`, None if the rows are others."""
    if len(block) != len(dense):
        return None
    direction = np.random.default_rng(0).standard_normal(dense.shape[1])
    order = np.empty(len(dense), dtype=np.int64)
    order[np.argsort(block @ direction, kind="stable")] = np.argsort(dense @ direction, kind="stable")
    return order if _same(dense[order], block) else None


def _reordered(rows: Expression, order: np.ndarray) -> Expression:
    breaks = np.flatnonzero(np.diff(order) != 1) + 1
    if not len(breaks):
        return rows
    runs = np.split(order, breaks)
    if len(runs) > _MOST_PIECES:
        return operation("Gather", rows, Constant(order.astype(np.int32)))
    slices = [operation("Slice", rows, integers(run[0]), integers(run[-1] + 1)) for run in runs]
    return operation("Concat", *slices, axis=0)


def _says_more(pieces: Sequence[Term]) -> bool:
    return len(pieces) > 1 or not all(isinstance(piece, Plain) for piece in pieces)


def _dense(pieces: Sequence[Term]) -> np.ndarray:
    return np.asarray(sum(_array(piece.dense()).astype(np.float64) for piece in pieces))


def _same(dense: np.ndarray, values: np.ndarray) -> bool:
    if dense.shape != values.shape or not values.size:
        return False
    return bool(np.abs(dense - values).max() <= _CLOSE * np.abs(values).max())


def _sum(pieces: Sequence[Term]) -> Encoding:
    """The pieces' own smallest forms, added in their order."""
    parts = [_piece(piece) for piece in pieces]
    total = parts[0].expression
    for part in parts[1:]:
        total = operation("Add", total, part.expression)
    return Encoding(" + ".join(part.label for part in parts), total, exact=False)


def _piece(term: Term) -> Encoding:
    if isinstance(term, Plain):
        return smallest(_array(term.values))
    if isinstance(term, Scaled):
        return _scaled(term)
    left, right = smallest(_array(term.left)), smallest(_array(term.right))
    product: Expression = operation("MatMul", left.expression, right.expression)
    if term.shape != (term.left.shape[0], term.right.shape[1]):
        product = reshaped(product, *term.shape)
    if term.axes != tuple(range(len(term.axes))):
        product = operation("Transpose", product, perm=list(term.axes))
    return Encoding(f"rank {term.left.shape[1]}: ({left.label}) x ({right.label})", product)


def _scaled(term: Scaled) -> Encoding:
    base, scale = smallest(_array(term.base)), smallest(_array(term.scale))
    dense: Expression = operation("Mul", base.expression, scale.expression)
    if term.shift is not None:
        dense = operation("Add", dense, smallest(_array(term.shift)).expression)
    return Encoding(f"scale x {base.label}", dense)


def _with(encoding: Encoding, change: Callable[[Expression], Expression]) -> Encoding:
    return Encoding(encoding.label, change(encoding.expression), exact=False)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().contiguous().numpy()
