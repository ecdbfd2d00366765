"""Row minima of matrices whose row-wise best column never moves back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from condensa_core.schemes.ragged import concatenated

DENSE: Final = 1 << 15  # entries that are cheaper to compute than to avoid
_STRIDE: Final = 8

Entries = Callable[[Tensor, Tensor], Tensor]  # rows, columns (index tensors that broadcast) -> entries


def row_minima(entry: Entries, rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The least entry of each row, and a column that has it.

    The matrix must be totally monotone: the best column of a row is not left of that of a row above. Every eighth row
    is solved first; the rows between two of them need only the columns between the two answers. About
    8 columns log_8(rows) entries are computed.
    Source: Aggarwal, Klawe, Moran, Shor and Wilber, "Geometric applications of a matrix-searching algorithm",
    Algorithmica 2 (1987), for total monotonicity.
    """
    every_row = torch.arange(rows, device=device)
    if rows * columns <= DENSE or rows <= _STRIDE:
        least = entry(every_row[:, None], torch.arange(columns, device=device)[None, :]).min(1)
        return least.values, least.indices
    last = rows - 1
    marks = torch.cat((every_row[:last:_STRIDE], every_row[last:]))
    marked = row_minima(lambda r, c: entry(marks[r], c), marks.numel(), columns, device)
    best = marked[1].cummax(0).values  # rounding may shuffle near ties
    widths = best[1:] - best[:-1] + 1
    column, gap = concatenated(best[:-1], widths)
    inside = torch.arange(1, _STRIDE, device=device)
    between = marks[:-1, None] + inside  # rows of each gap; the last gap may be shorter
    found = entry(between.clamp_max(last)[gap], column[:, None])
    least_between = torch.segment_reduce(found, "min", lengths=widths, axis=0)
    hits = torch.where(found == least_between[gap], column[:, None], columns)
    column_between = torch.segment_reduce(hits.double(), "min", lengths=widths, axis=0).long()
    values, indices = marked[0].new_empty(rows), best.new_empty(rows)
    values[marks], indices[marks] = marked[0], best
    real = between < last
    values[between[real]], indices[between[real]] = least_between[real], column_between[real]
    return values, indices
