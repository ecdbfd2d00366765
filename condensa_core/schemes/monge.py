"""Row minima of matrices in which the best column never moves back from row to row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from condensa_core.schemes.ragged import concatenated

DENSE: Final = 1 << 14  # entries that are cheaper to compute than to avoid
_STRIDE: Final = 8

Entries = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows, columns (which broadcast) -> entries


def row_minima(entry: Entries, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The least entry of each row, and a column that has it.

    The matrix must be totally monotone: the best column of a row is not left of that of a row above. Every eighth row
    is solved first; the rows between two of those need only the columns between their answers. About
    8 (columns + rows) log_8(rows) entries are computed.
    Source: Aggarwal, Klawe, Moran, Shor and Wilber, "Geometric applications of a matrix-searching algorithm",
    Algorithmica 2 (1987), for total monotonicity.
    """
    every = np.arange(rows)
    if rows * columns <= DENSE or rows <= _STRIDE:
        dense = entry(every[:, None], np.arange(columns)[None, :])
        best = dense.argmin(1)
        return dense[every, best], best
    marks = np.append(every[: rows - 1 : _STRIDE], rows - 1)
    least, best = row_minima(lambda r, c: entry(marks[r], c), marks.size, columns)
    best = np.maximum.accumulate(best)  # rounding may shuffle near ties
    widths = np.diff(best) + 1
    column, gap = concatenated(best[:-1], widths)
    between = marks[:-1, None] + np.arange(1, _STRIDE)  # rows of each gap; the last one may be shorter
    found = entry(np.minimum(between, rows - 1)[gap], column[:, None])
    starts = widths.cumsum() - widths
    least_between = np.minimum.reduceat(found, starts, axis=0)
    hits = np.where(found == least_between[gap], column[:, None], columns)
    real = between < rows - 1
    values, indices = np.empty(rows), np.empty(rows, dtype=np.intp)
    values[marks], indices[marks] = least, best
    values[between[real]], indices[between[real]] = least_between[real], np.minimum.reduceat(hits, starts, axis=0)[real]
    return values, indices
