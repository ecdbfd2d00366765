"""Robust figures of a few dozen timings: quantiles, and the median with an interval that admits what is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed

RESAMPLES = 2000  # the 2.5 % quantile then rests on 50 resamples
# From 6 values on the smallest and the largest enclose the median in 95 % of cases: 1 - 2 / 2^6 is 0.97, of 5 0.94.
FEWEST: Final = 6
# With fewer values the bootstrap of a median claims too much: of 7 ratios that scatter by 5 %, 89 % held the truth.
FEWEST_BOOTSTRAP: Final = 25
CHUNK = 1 << 20  # values resampled at a time: 8 MiB
# What `Quantiles` holds of latencies, as the percentile that it is.
PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}


@dataclass(frozen=True)
class Quantiles:
    """Of `count` values: p99 is the value that 99 % do not exceed (linear between neighbours)."""

    min: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    count: int
    variation: float  # standard deviation / mean; 0 for a single value

    def to_json(self) -> dict[str, float | int | None]:
        """Plain data; None for a percentile that fewer than one of the values exceeds: the p99 of less than 100."""
        beyond = {name: self.count * (100 - percent) / 100 for name, percent in PERCENTILES.items()}
        return {
            name: None if beyond.get(name, 1) < 1 and name != "p50" else value for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval, relative to the value."""
        return (self.high - self.low) / 2 / abs(self.value) if self.value else float("inf")


def quantiles(values: Sequence[float]) -> Quantiles:
    """Of at least one value."""
    array = np.asarray(values, dtype=float)
    p50, p90, p95, p99 = (float(q) for q in np.percentile(array, list(PERCENTILES.values())))
    mean = float(array.mean())
    deviation = float(array.std(ddof=1)) if array.size > 1 else 0.0
    return Quantiles(float(array.min()), mean, p50, p90, p95, p99, array.size, deviation / mean if mean else 0.0)


def median_interval(values: Sequence[float], *, seed: Seed, confidence: float = 0.95) -> Interval:
    """The median and an interval that holds the true one as often as `confidence` says.

    By the percentile bootstrap, where the same values and seed give the same interval; of fewer than 25 values, between
    two of them, by what the binomial distribution says of their order. Where they are too few for the confidence (of
    95 %: fewer than 6) it is their whole range, which holds it less often.
    UsageError for no values or a confidence outside (0, 1).
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3; David and Nagaraja, Order
    Statistics (2003), section 7.1.
    """
    array = np.asarray(values, dtype=float)
    if not array.size:
        raise UsageError("an interval needs at least one value")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence must lie in (0, 1), got {confidence}")
    if array.size < FEWEST_BOOTSTRAP:
        left_out, ordered = _left_out(array.size, confidence), np.sort(array)
        return Interval(float(np.median(array)), float(ordered[left_out]), float(ordered[-1 - left_out]))
    draws = seed.numpy_generator("bootstrap").integers(array.size, size=(RESAMPLES, array.size))
    medians = np.median(array[draws], axis=1)
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(np.median(array)), float(low), float(high))


def _left_out(count: int, confidence: float) -> int:
    """How many of `count` ordered values may be left out at each end: the rest holds the median as often as asked."""
    left_out, outside = 0, 2 / 2**count  # that the median lies below the smallest, or above the largest
    while left_out < (count - 1) // 2 and (more := outside + 2 * math.comb(count, left_out + 1) / 2**count) <= (
        1 - confidence
    ):
        left_out, outside = left_out + 1, more
    return left_out


def ratio_interval(numerator: Sequence[float], denominator: Sequence[float], *, seed: Seed) -> Interval:
    """The median of numerator / denominator, value by value (they were taken in the same round), with its interval."""
    if len(numerator) != len(denominator):
        raise UsageError(f"ratios need pairs, got {len(numerator)} and {len(denominator)} values")
    return median_interval([a / b for a, b in zip(numerator, denominator, strict=True)], seed=seed)


def unpaired_ratio_interval(numerator: Sequence[float], denominator: Sequence[float], *, seed: Seed) -> Interval:
    """How the medians compare, numerator / denominator, of values that were taken apart, with a 95 % interval.

    Both are resampled by themselves. UsageError for no values.
    """
    above, below = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    if not (above.size and below.size):
        raise UsageError("an interval needs at least one value")
    generator = seed.numpy_generator("bootstrap")
    medians = [
        np.median(values[generator.integers(values.size, size=(RESAMPLES, values.size))], axis=1)
        for values in (above, below)
    ]
    low, high = np.quantile(medians[0] / medians[1], [0.025, 0.975])
    return Interval(float(np.median(above) / np.median(below)), float(low), float(high))


def pooled_ratio_interval(
    numerator: Sequence[Sequence[float]], denominator: Sequence[Sequence[float]], statistic: str, *, seed: Seed
) -> Interval:
    """How the mean or a percentile (`mean`, or a name of PERCENTILES) of all values compares, numerator / denominator.

    Both hold the values of one round after another, of the same rounds; each has as many in every round. Its 95 %
    percentile-bootstrap interval resamples whole rounds, of both together: what happens to the machine in a round
    happens to all of its values, which are no independent draws. UsageError for rounds that do not pair, or none.
    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8 (strategy 1).
    """
    if len(numerator) != len(denominator) or len(numerator) == 0:
        raise UsageError(f"ratios need rounds in pairs, got {len(numerator)} and {len(denominator)}")
    above, below = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    rounds = len(above)
    draws = seed.numpy_generator("bootstrap").integers(rounds, size=(RESAMPLES, rounds))
    at_a_time = max(1, CHUNK // max(above.size, below.size))
    ratios = np.concatenate(
        [
            _pooled(above[some], statistic) / _pooled(below[some], statistic)
            for some in np.split(draws, range(at_a_time, RESAMPLES, at_a_time))
        ]
    )
    low, high = np.quantile(ratios, [0.025, 0.975])
    value = _pooled(above[np.newaxis], statistic) / _pooled(below[np.newaxis], statistic)
    return Interval(float(value[0]), float(low), float(high))


def _pooled(values: np.ndarray, statistic: str) -> np.ndarray:
    """The statistic of each resample (b x rounds x values of a round)."""
    flat = values.reshape(len(values), -1)
    return flat.mean(axis=1) if statistic == "mean" else np.percentile(flat, PERCENTILES[statistic], axis=1)
