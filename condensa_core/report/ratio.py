"""A ratio of two measurements, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RatioInterval:
    """How many times better than the reference, with the 95 % interval; above 1 is better."""

    value: float | None
    low: float | None = None
    high: float | None = None
