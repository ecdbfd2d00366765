"""How far the grid of an activation reaches, from its histogram."""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from condensa_core.errors import UsageError
from condensa_core.export.calibration import Array, Histogram

RangeRule = Literal["max", "percentile", "mse", "entropy"]
Reach = tuple[float, float]  # (low <= 0, high >= 0); opposite numbers where symmetric

PERCENTILE: Final = 99.99
_ENTROPY_BINS: Final = 2048
_SPIKE: Final = 0.003
_COARSE: Final = tuple(1.2**-i for i in range(25))  # of an end: down to a hundredth
_FINE: Final = tuple(1.2 - i / 64 for i in range(26))  # of the best of those


def activation_range(
    histogram: Histogram, rule: RangeRule, *, symmetric: bool, bits: int = 8, percentile: float = PERCENTILE
) -> Reach:
    """The range that 2^bits levels are laid over (2^bits - 1 around zero if symmetric), by one of four rules.

    max: all numbers seen. percentile: all but (100 - percentile) % of them, symmetrically the largest magnitudes, else
    half of them at either end; to within a bin, outwards. mse: the clipping with the least squared error. entropy: the
    clipping whose levels keep most of the distribution of magnitudes. Never beyond the numbers seen; zero is within.
    """
    if rule not in get_args(RangeRule):
        raise UsageError(f"no range rule called {rule!r}", hint="known: " + ", ".join(get_args(RangeRule)))
    if not 0 < percentile <= 100:
        raise UsageError(f"percentile {percentile:g} is outside (0, 100]")
    low, high = histogram.least, histogram.greatest
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    if histogram.count == histogram.zeros or rule == "max":
        return low, high
    if rule == "percentile":
        return _percentile(histogram, percentile, low, high, symmetric)
    if rule == "mse":
        return _least_squares(histogram, low, high, bits, symmetric)
    one_sided = not symmetric and (low == 0 or high == 0)
    reach = _entropy_magnitude(histogram, 2 ** (bits if one_sided else bits - 1))
    return max(low, -reach), min(high, reach)


def _percentile(histogram: Histogram, percentile: float, low: float, high: float, symmetric: bool) -> Reach:
    beyond = math.floor(histogram.count * (100 - percentile) / 100 * (1 + 1e-12))
    if symmetric:
        reach = min(high, _past(histogram.magnitudes(), beyond) * histogram.width)
        return -reach, reach
    down, up = (_past(counts, beyond // 2) * histogram.width for counts in histogram.sides())
    return max(low, -down), min(high, up)


def _past(counts: npt.NDArray[np.int64], beyond: int) -> int:
    """How many bins from zero hold all but the outermost `beyond` numbers, or fewer of them."""
    outside = counts[::-1].cumsum()
    return int(counts.size - np.searchsorted(outside, beyond, side="right"))


def _least_squares(histogram: Histogram, low: float, high: float, bits: int, symmetric: bool) -> Reach:
    """All pairs of coarse fractions of the two ends, then either end by itself in fine steps; ties: the wider."""
    centres, counts = histogram.bins()

    def error(reach: Reach) -> float:
        scale, lowest, highest = grid_of(reach, bits, symmetric=symmetric)
        levels = np.clip(np.rint(centres / scale), lowest, highest)
        return float(counts @ np.square(centres - levels * scale))

    if symmetric:
        best = min(((-high * f, high * f) for f in _COARSE), key=error)
        return min(((max(low, best[0] * f), min(high, best[1] * f)) for f in _FINE), key=error)
    highs = [high * f for f in _COARSE] if high else [0.0]
    lows = [low * f for f in _COARSE] if low else [0.0]
    best = min(((lower, upper) for upper in highs for lower in lows), key=error)
    for _ in range(2):
        best = min(((best[0], min(high, best[1] * f)) for f in _FINE), key=error)
        best = min(((max(low, best[0] * f), best[1]) for f in _FINE), key=error)
    return best


def grid_of(reach: Reach, bits: int = 8, *, symmetric: bool) -> tuple[float, int, int]:
    """Scale (a float32 number), lowest and highest level, counted from zero, of a grid over `reach`."""
    low, high = reach
    if symmetric:
        top = 2 ** (bits - 1) - 1
        return float(np.float32(max(-low, high) / top)) or 1.0, -top, top
    scale = float(np.float32((high - low) / (2**bits - 1))) or 1.0
    below = min(2**bits - 1, max(0, round(-low / scale)))
    return scale, -below, 2**bits - 1 - below


def _entropy_magnitude(histogram: Histogram, levels: int) -> float:
    """The magnitude to clip at, by `entropy_bins` over at most 2048 bins."""
    fine = histogram.magnitudes()
    merged = -(-fine.size // _ENTROPY_BINS)
    counts = np.add.reduceat(fine, np.arange(0, fine.size, merged)).astype(np.float64)
    return entropy_bins(_without_spikes(counts), levels) * merged * histogram.width


def _without_spikes(counts: Array) -> Array:
    """Counts where a bin of over 0.3 % of all, and over 4 times either neighbour, has the larger of theirs.

    Such a bin is a value that recurs: the background of images, and what layers make of it. As with the zeros of ReLU,
    the divergence would be that of the spike alone, and all beyond it be clipped: white on black
    would lose its white.
    """
    padded = np.pad(counts, 1)
    around = np.maximum(padded[:-2], padded[2:])
    return np.where((counts > _SPIKE * counts.sum()) & (counts > 4 * around), around, counts)


def entropy_bins(counts: Array, levels: int) -> int:
    """How many of the first bins of magnitudes to keep: those that lose least information when merged to `levels`.

    For i = levels, levels + 1, ..., all: P is the first i bins, what lies beyond added to the last; Q is the same bins,
    without what lies beyond, merged into `levels` runs of nearly equal length and spread evenly over those that were
    not empty. The i with the least divergence KL(P || Q); of equal ones the largest. `counts` is not changed.
    The first bin counts as much as the second: with the spike that ReLU leaves near zero in it, the divergence would
    be that of the spike alone, and half of the range be clipped.
    Source: Migacz, "8-bit inference with TensorRT", GTC 2017; the first bin: NVIDIA's pytorch-quantization.
    """
    bins = counts.copy()
    if bins.size > 1:
        bins[0] = bins[1]
    if bins.size <= levels or not bins.any():
        return int(bins.size)
    total, kept, least = bins.sum(), bins.cumsum(), math.inf
    log_of = np.log(np.where(bins > 0, bins, 1))
    self_information = (bins * log_of).cumsum()  # sum p log p of the bins before
    filled = (bins > 0).cumsum()
    best = int(bins.size)
    for i in range(int(bins.size), levels - 1, -1):
        tail = total - kept[i - 1]
        last = bins[i - 1]
        if last == 0 and tail > 0:
            continue  # Q is empty where P is not
        # Bin b belongs to run floor(b * levels / i), so run r starts at bin ceil(r * i / levels).
        ends = -(-np.arange(1, levels + 1) * i // levels) - 1
        mass = np.diff(kept[ends], prepend=0.0)
        size = np.diff(filled[ends], prepend=0)
        p_in_run = mass.copy()
        p_in_run[-1] += tail
        log_q = np.log(np.where(size > 0, mass, 1) / np.maximum(size, 1), where=mass > 0, out=np.zeros(levels))
        p_log_p = self_information[i - 1] - last * log_of[i - 1] + _x_log_x(last + tail)
        # KL of the normalised P = p / total and Q = q / (total - tail)
        divergence = (p_log_p - p_in_run @ log_q) / total - math.log(total) + math.log(total - tail)
        if divergence < least - 1e-12:
            best, least = i, divergence
    return best


def _x_log_x(x: float) -> float:
    return x * math.log(x) if x > 0 else 0.0
