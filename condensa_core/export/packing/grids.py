"""Integers times a scale, found in the numbers alone."""

from __future__ import annotations

from typing import Final

import numpy as np

_LARGEST: Final = 2**15
_SHORTEST_ROW: Final = 8
_FINER: Final = (1, 2, 3)  # the smallest difference of two values may be a small multiple of the step


def grid_of(values: np.ndarray, book: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(integers, scale) with `integers * scale == values` exactly in float32, one scale or one for each row.

    The scale is 1-dimensional (one number), or has a number for each index of the first axis and broadcasts. None where
    no such grid is found; it is looked for at the smallest difference between values and near fractions of it. `book`
    holds the values that occur, once each.
    """
    scale = _scales(book.reshape(1, -1)) if len(book) <= 2 * _LARGEST else None
    if scale is None and values.ndim > 1 and values[0].size >= _SHORTEST_ROW:
        rows = values.reshape(len(values), -1)
        scale = _scales(rows) if _scales(rows[:1]) is not None else None  # most tensors are refused by one row
    if scale is None:
        return None
    scale = scale.reshape(-1, *[1] * (values.ndim - 1))
    return _nearest(values, scale), scale


def _scales(rows: np.ndarray) -> np.ndarray | None:
    """The scales of rows that are each on a grid of their own."""
    steps = _smallest_differences(rows)
    largest = np.abs(rows).max(axis=1).astype(np.float64)
    for finer in _FINER:
        with np.errstate(divide="ignore", invalid="ignore"):
            tops = np.rint(largest / steps * finer)
            scales = np.where(tops > 0, largest / tops, 1.0).astype(np.float32)
        if not (tops <= _LARGEST).all():
            return None
        for candidate in (scales, np.nextafter(scales, np.float32(0)), np.nextafter(scales, np.float32(np.inf))):
            found = np.where(_on_grid(rows, candidate), candidate, np.float32(np.nan))
            scales = np.where(np.isnan(found), scales, found)
        if _on_grid(rows, scales).all():
            return np.asarray(scales)
    return None


def _on_grid(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.asarray((_nearest(rows, scales[:, None]) * scales[:, None] == rows).all(axis=1))


def _nearest(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.rint(values / scales.astype(np.float64)).astype(np.float32)


def _smallest_differences(rows: np.ndarray) -> np.ndarray:
    """Between distinct values of each row and zero; infinite for a row of zeros."""
    with_zero = np.concatenate([rows, np.zeros((len(rows), 1), rows.dtype)], axis=1).astype(np.float64)
    differences = np.diff(np.sort(with_zero, axis=1), axis=1)
    return np.asarray(np.where(differences > 0, differences, np.inf).min(axis=1))
