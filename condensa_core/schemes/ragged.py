"""Integers in ranges and pieces of different lengths."""

from __future__ import annotations

import itertools

import numpy as np


def concatenated(starts: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The integers of [starts_g, starts_g + widths_g) for g = 0, 1, ..., and the g of each."""
    group = np.arange(widths.size).repeat(widths)
    return np.arange(group.size) + (starts - widths.cumsum() + widths)[group], group


def apart(vector: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    """Consecutive pieces of a vector."""
    return [vector[end - width : end] for width, end in zip(widths, itertools.accumulate(widths), strict=True)]


def distinct(numbers: np.ndarray) -> np.ndarray:
    """The different ones, ascending: as `numpy.unique`, whose hash table costs more than a sort here (numpy 2.4)."""
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: ordered.size]]
