"""Integers times a scale, found in the numbers alone."""

from __future__ import annotations

from typing import Final

import numpy as np

_LARGEST: Final = 2**15
_FINER: Final = (1, 2, 3)  # the smallest difference of two values may be a small multiple of the step


def grid_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(integers, scale) with `integers * scale == values` exactly in float32, one scale or one for each row.

    The scale is 1-dimensional (one number), or has a number for each index of the first axis and broadcasts. None where
    no such grid is found; it is looked for at the smallest difference between values and near fractions of it.
    """
    flat = _rows_on_grids(values.reshape(1, -1))
    if flat is not None:
        return flat[0].reshape(values.shape), flat[1].reshape(1)
    if values.ndim < 2 or values[0].size < 8:
        return None
    rows = _rows_on_grids(values.reshape(len(values), -1))
    if rows is None:
        return None
    return rows[0].reshape(values.shape), rows[1].reshape(-1, *[1] * (values.ndim - 1))


def _rows_on_grids(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Integers (float32, rows x n) and scales (rows x 1), each row on a grid of its own."""
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
            return np.rint(rows / scales[:, None].astype(np.float64)).astype(np.float32), scales[:, None]
    return None


def _on_grid(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    integers = np.rint(rows / scales[:, None].astype(np.float64)).astype(np.float32)
    return np.asarray((integers * scales[:, None] == rows).all(axis=1))


def _smallest_differences(rows: np.ndarray) -> np.ndarray:
    """Between distinct values of each row and zero; infinite for a row of zeros."""
    with_zero = np.concatenate([rows, np.zeros((len(rows), 1), rows.dtype)], axis=1).astype(np.float64)
    differences = np.diff(np.sort(with_zero, axis=1), axis=1)
    return np.asarray(np.where(differences > 0, differences, np.inf).min(axis=1))
