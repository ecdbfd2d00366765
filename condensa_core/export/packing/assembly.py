"""A tensor put together from the terms a scheme made it of: products, scaled integers, sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import Tensor

from condensa_core.export.packing.encoding import Encoding
from condensa_core.export.packing.encodings import smallest
from condensa_core.export.packing.expressions import Constant, Expression, integers, operation, reshaped
from condensa_core.schemes.terms import Plain, Scaled, Term

_CLOSE: Final = 1e-6  # of the largest value: as near as two float32 products of the same factors come
_MOST_PIECES: Final = 16  # of a new order of rows; more are cheaper as one index


@dataclass(frozen=True, eq=False)
class Parameter:
    """The terms of one parameter, and the tensor they make."""

    terms: tuple[Term, ...]
    dense: np.ndarray


def parameters_of(terms: Mapping[str, Sequence[Term]]) -> dict[str, Parameter]:
    """The parameters whose terms say more than their values do, by name."""
    telling = {
        name: tuple(pieces)
        for name, pieces in terms.items()
        if len(pieces) > 1 or not all(isinstance(piece, Plain) for piece in pieces)
    }
    return {
        name: Parameter(pieces, np.asarray(sum(_array(piece.dense()).astype(np.float64) for piece in pieces)))
        for name, pieces in telling.items()
    }


def assembled(name: str, values: np.ndarray, parameters: Mapping[str, Parameter]) -> Encoding | None:
    """The tensor as a sum of terms: of the parameter of its name, else of those whose values it holds; None if of none.

    A tensor may be a parameter, its transpose, or several parameters above each other with rows in another order, as
    gates of recurrent layers are.
    """
    own = [parameters[name]] if name in parameters else []
    for parameter in (*own, *parameters.values()):
        if _same(parameter.dense, values):
            return _sum(parameter.terms)
        if values.ndim == 2 and _same(parameter.dense.T, values):
            found = _sum(parameter.terms)
            return Encoding(found.label, operation("Transpose", found.expression, perm=[1, 0]), exact=False)
    return _stacked(values, list(parameters.values())) if values.ndim > 1 else None


def _stacked(values: np.ndarray, parameters: Sequence[Parameter]) -> Encoding | None:
    """Matrices above each other, each with its rows in another order."""
    rows = values.reshape(-1, values.shape[-1])
    blocks: list[Encoding] = []
    start = 0
    while start < len(rows):
        found = _block(rows[start:], parameters)
        if found is None:
            return None
        blocks.append(found[0])
        start += found[1]
    whole = blocks[0].expression
    if len(blocks) > 1:
        whole = operation("Concat", *(block.expression for block in blocks), axis=0)
    label = "; ".join(dict.fromkeys(block.label for block in blocks))
    return Encoding(label, reshaped(whole, *values.shape) if values.ndim > 2 else whole, exact=False)


def _block(rows: np.ndarray, parameters: Sequence[Parameter]) -> tuple[Encoding, int] | None:
    """The parameter that the first rows are, and how many they are."""
    for parameter in parameters:
        dense = parameter.dense
        if dense.ndim == 2 and 0 < len(dense) <= len(rows) and dense.shape[1] == rows.shape[1]:
            order = _row_order(rows[: len(dense)], dense)
            if order is not None:
                found = _sum(parameter.terms)
                return Encoding(found.label, _reordered(found.expression, order), exact=False), len(dense)
    return None


def _row_order(block: np.ndarray, dense: np.ndarray) -> np.ndarray | None:
    """`order` with `dense[order]` close to `block`, None if the rows are others."""
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


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().contiguous().numpy()
