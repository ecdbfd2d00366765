"""Which numbers occur in a tensor, how often, and where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Distinct:
    """The values that occur, the most frequent first (ties: the smaller first)."""

    book: np.ndarray
    counts: np.ndarray
    values: np.ndarray

    @staticmethod
    def of(values: np.ndarray) -> Distinct:
        """One sort of the values."""
        book, counts = np.unique(values, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return Distinct(book[order], counts[order], values)

    @property
    def count(self) -> int:
        """How many different values."""
        return len(self.book)

    @cached_property
    def symbols(self) -> np.ndarray:
        """For each value in row-major order, which of the book it is."""
        order = np.argsort(self.book)
        return np.asarray(order[np.searchsorted(self.book[order], self.values.ravel())])
