"""The grid of least squared error: which scale (and zero point) lets a block of weights round best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from condensa_core.schemes.affine import Grid, Steps, steps_between

EXACT_BITS: Final = 4  # up to this width the search is exhaustive
_BATCH: Final = 2**17  # breakpoints of small blocks sorted at a time: they stay in the cache
_WINDOW: Final = 2**22  # of one large block: about 200 MB of working memory
_EQUAL: Final = 1e-12  # errors this close, relative to the squared norm, are equal but for rounding


def least_squares_steps(blocks: Tensor, weights: Tensor, grid: Grid) -> Steps:
    """argmin over the grids of sum weights * (block - nearest grid point)^2, for each row of `blocks`.

    `blocks` and `weights` >= 0 are blocks x length, float64. Equal errors: the coarser scale, then the smaller zero
    point. Blocks of zeros get scale 1. Up to 4 bits it is a global minimiser, above it the best of many scales, refined
    to a stationary point.
    """
    weights = torch.where((weights.sum(1) > 0)[:, None], weights, (blocks != 0).double())
    if grid.bits > EXACT_BITS:
        return _dense_search(blocks, weights, grid)
    length = max(1, blocks.shape[1] * grid.top)
    rows = max(1, _BATCH // length)
    parts = [_sweep(some, of_some, grid) for some, of_some in zip(blocks.split(rows), weights.split(rows), strict=True)]
    return Steps(*(torch.cat([getattr(part, name) for part in parts]) for name in ("scale", "low", "high")))


# Exhaustive: with the levels q fixed, the best scale is s = sum(m w q) / sum(m q^2), and the error is
# sum(m w^2) - sum(m w q)^2 / sum(m q^2). As s falls from infinity, |q_i| grows by one whenever s passes
# |w_i| / (k + 1/2), k = 0, 1, ..., until it is clipped. So the assignments that are nearest for some s are the prefixes
# of the sorted breakpoints, two cumulative sums give the error of each, and the best of them is the joint optimum of q
# and s. Generalises the ternary C step (one level: sum of the j largest, over sqrt j). A zero point only decides at
# which level either sign is clipped: the sorted breakpoints serve all of them.


@dataclass
class _Best:
    """The best prefix so far, for one zero point; one entry a block."""

    gain: Tensor  # sum(m w q)^2 / sum(m q^2)
    scale: Tensor
    place: Tensor  # of the prefix's end among the sorted breakpoints


def _sweep(blocks: Tensor, weights: Tensor, grid: Grid) -> Steps:
    norm = (weights * blocks.square()).sum(1)
    lows = [grid.top] if grid.symmetric else list(range(grid.top + 1))
    highs = [grid.top if grid.symmetric else grid.top - low for low in lows]
    zero = torch.zeros_like(norm)
    bests = [_Best(zero.clone(), torch.ones_like(norm), zero.long()) for _ in lows]
    sums = [(zero, zero) for _ in lows]
    passed = 0
    for entry, level in _breakpoints(blocks.abs(), grid.top):
        magnitude, weight = blocks.abs().gather(1, entry), weights.gather(1, entry)
        negative = blocks.gather(1, entry) < 0
        for z, (low, high) in enumerate(zip(lows, highs, strict=True)):
            within = weight * (level < torch.where(negative, low, high))
            moment = (within * magnitude).cumsum(1) + sums[z][0][:, None]  # sum m |w| |q|
            square = (within * (2 * level + 1)).cumsum(1) + sums[z][1][:, None]  # sum m q^2
            sums[z] = moment[:, -1], square[:, -1]
            gain = torch.where(square > 0, moment.square() / square, 0.0)
            first = (gain >= (gain.amax(1) - _EQUAL * norm)[:, None]).to(torch.uint8).argmax(1, keepdim=True)
            gain, scale = gain.gather(1, first)[:, 0], (moment / square).gather(1, first)[:, 0]
            better = gain > bests[z].gain + _EQUAL * norm
            bests[z].gain = torch.where(better, gain, bests[z].gain)
            bests[z].scale = torch.where(better, scale, bests[z].scale)
            bests[z].place = torch.where(better, first[:, 0] + passed, bests[z].place)
        passed += entry.shape[1]
    gains = torch.stack([best.gain for best in bests], 1)
    places = torch.stack([best.place for best in bests], 1)
    equal = gains >= gains.amax(1, keepdim=True) - _EQUAL * norm[:, None]
    chosen = places.masked_fill(~equal, passed + 1).argmin(1, keepdim=True)  # first: the smaller zero point
    scale = torch.stack([best.scale for best in bests], 1).gather(1, chosen)[:, 0]
    clips = torch.tensor([lows, highs], dtype=norm.dtype, device=norm.device)[:, chosen[:, 0]]
    return Steps(scale, clips[0], clips[1]).stored()


def _breakpoints(magnitudes: Tensor, top: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Entry and level k of the breakpoints |w| / (k + 1/2), k < top, from large to small, in windows; blocks x some."""
    count, n = magnitudes.shape
    half = torch.arange(top, device=magnitudes.device) + 0.5
    if count > 1 or n * top <= _WINDOW:
        order = (magnitudes[:, :, None] / half).flatten(1).argsort(dim=1, descending=True, stable=True)
        yield order // top, order % top
        return
    stride = -(-n * top // _WINDOW) * 16
    sample = (magnitudes[0, ::stride, None] / half).flatten().sort(descending=True).values
    edges = [float("inf"), *sample[:: max(1, _WINDOW // stride)].tolist()[1:], -1.0]
    for above, below in pairwise(edges):
        entries, levels, points = [], [], []
        for k in range(top):
            point = magnitudes[0] / half[k]
            inside = ((point <= above) & (point > below)).nonzero()[:, 0]
            entries.append(inside)
            levels.append(torch.full_like(inside, k))
            points.append(point[inside])
        order = torch.cat(points).argsort(descending=True, stable=True)
        if order.numel():
            yield torch.cat(entries)[order][None], torch.cat(levels)[order][None]


# Wide grids: the error is nearly flat in the scale, and breakpoints are many. Scales that put the extreme weight on a
# level, and scales that clip it, are tried; the best is refined by turns of rounding and least squares.

_CLIPS: Final = tuple(1 - i / 64 for i in range(1, 52))  # fractions of the range
_REFINEMENTS: Final = 8


def _dense_search(blocks: Tensor, weights: Tensor, grid: Grid) -> Steps:
    blocks = blocks * (weights > 0)  # what does not count has no say in the range either
    least, greatest = blocks.amin(1).clamp(max=0), blocks.amax(1).clamp(min=0)
    best = steps_between(least, greatest, grid)
    error = torch.full_like(best.scale, torch.inf)
    slack = _EQUAL * (weights * blocks.square()).sum(1)

    def consider(steps: Steps) -> None:
        nonlocal best, error
        found = _error(blocks, weights, steps)
        better = found < error - slack
        best, error = _where(better, steps, best), torch.where(better, found, error)

    for reached in range(1, grid.top + 1):
        consider(_reaching(least, greatest, reached, grid))
    for clip in _CLIPS:
        consider(steps_between(least * clip, greatest * clip, grid))
    if not grid.symmetric:
        low, high = -best.low * best.scale, best.high * best.scale
        for clip in _CLIPS:
            consider(steps_between(low, high * clip, grid))
            consider(steps_between(low * clip, high, grid))
    for _ in range(_REFINEMENTS):
        levels = best.round(blocks)
        square = (weights * levels.square()).sum(1)
        scale = (weights * blocks * levels).sum(1) / square
        consider(Steps(torch.where(square > 0, scale, best.scale), best.low, best.high))
    return _canonical(blocks, best, grid)


def _reaching(least: Tensor, greatest: Tensor, reached: int, grid: Grid) -> Steps:
    """Grids whose extreme weights are `reached` levels from zero (symmetric), or apart."""
    span = torch.maximum(-least, greatest) if grid.symmetric else greatest - least
    scale = torch.where(span > 0, span / reached, 1.0)
    top = torch.full_like(scale, grid.top)
    low = top if grid.symmetric else (-least / scale + 0.5).floor().clamp(0, grid.top)
    return Steps(scale, low, top if grid.symmetric else top - low)


def _error(blocks: Tensor, weights: Tensor, steps: Steps) -> Tensor:
    return (weights * (blocks - steps.round(blocks) * steps.scale[:, None]).square()).sum(1)


def _where(condition: Tensor, a: Steps, b: Steps) -> Steps:
    return Steps(
        torch.where(condition, a.scale, b.scale),
        torch.where(condition, a.low, b.low),
        torch.where(condition, a.high, b.high),
    )


def _canonical(blocks: Tensor, steps: Steps, grid: Grid) -> Steps:
    """The coarsest grid with the same points in use, its zero point the smallest: so a second projection finds it."""
    levels = steps.round(blocks)
    common = _greatest_common_divisor(levels.to(torch.int32)).clamp(min=1).double()
    low = steps.low if grid.symmetric else (-levels.amin(1)).clamp(min=0) / common
    high = steps.high if grid.symmetric else grid.top - low
    return Steps(steps.scale * common, low, high).stored()


def _greatest_common_divisor(rows: Tensor) -> Tensor:
    """Of each row (0 for zeros), by halving."""
    while rows.shape[1] > 1:
        half = rows.shape[1] // 2
        paired = torch.gcd(rows[:, :half], rows[:, half : 2 * half])
        rows = torch.cat([paired, rows[:, 2 * half :]], 1)
    return rows[:, 0].abs()
