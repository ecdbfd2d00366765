"""Axes of pictures: where round numbers stand on a scale that need not be straight, and the frame around a panel."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from condensa_core.report import svg
from condensa_core.report.svg import Place

Label = Callable[[float], str]

_DIGITS: Final = 12  # of a number that nothing shorter comes near to


@dataclass(frozen=True)
class Scale:
    """A monotone map from values to the length of an axis: `share` is 0 at its start and 1 at its end, `value` back."""

    share: Callable[[float], float]
    value: Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A mark at a share of the axis."""

    share: float
    label: str


def straight(low: float, high: float) -> Scale:
    """Equal steps for equal differences; a range of nothing is widened around its value."""
    if not high > low:
        pad = abs(low) / 2 or 0.5
        low, high = low - pad, low + pad
    return Scale(lambda value: (value - low) / (high - low), lambda share: low + share * (high - low))


def logarithmic(low: float, high: float) -> Scale:
    """Equal steps for equal factors, of positive values."""
    inner = straight(math.log(low), math.log(high))
    return Scale(lambda value: inner.share(math.log(value)), lambda share: math.exp(inner.value(share)))


def through(knots: Sequence[tuple[float, float]]) -> Scale:
    """The scale that gives each of two or more (share, value) pairs, straight between them and beyond the ends.

    Shares grow; values grow or fall throughout.
    """
    shares = [share for share, _ in knots]
    values = [value for _, value in knots]
    if values[-1] < values[0]:
        return Scale(
            lambda value: _between(values[::-1], shares[::-1], value), lambda share: _between(shares, values, share)
        )
    return Scale(lambda value: _between(values, shares, value), lambda share: _between(shares, values, share))


def round_ticks(scale: Scale, label: Label, *, start: float = 0.0, end: float = 1.0, count: int = 6) -> list[Tick]:
    """About `count` marks from the share `start` to `end`, evenly spread, each at the roundest value near its place."""
    step = (end - start) / (count - 1)
    ticks: dict[str, Tick] = {}
    for position in range(count):
        middle = start + position * step
        edges = [scale.value(min(max(middle + side * 0.4 * step, start), end)) for side in (-1, 1)]
        value = roundest(min(edges), max(edges))
        ticks.setdefault(label(value), Tick(scale.share(value), label(value)))
    return list(ticks.values())


def roundest(low: float, high: float) -> float:
    """The number in [low, high] that is shortest to write; of several the one nearest to the middle.

    0 where it lies inside; else a multiple of the largest step of the form 10^k, 5 10^k or 2 10^k that has one inside.
    """
    if low <= 0 <= high:
        return 0.0
    top = math.floor(math.log10(max(abs(low), abs(high)))) + 1
    middle = (low + high) / 2
    if top < -200:  # steps would underflow
        return middle
    for exponent in range(top, top - _DIGITS, -1):
        for digit in (10, 5, 2):
            step = digit * 10.0 ** (exponent - 1)
            value = float(f"{round(middle / step) * step:.12g}")
            if low <= value <= high:
                return value
    return middle


@dataclass(frozen=True)
class Panel:
    """A rectangle of a picture, in pixels from its top left corner; shares run to the right and up."""

    left: float
    top: float
    width: float
    height: float

    def at(self, across: float, up: float) -> Place:
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def frame(self, across: Sequence[Tick], up: Sequence[Tick], name: str, *, below: bool = True) -> list[str]:
        """Grid lines with their labels; `name` is what stands upwards, `below` whether the horizontal axis is told."""
        marks = []
        for tick in up:
            start, end = self.at(0, tick.share), self.at(1, tick.share)
            marks += [svg.line(start, end, "#ddd"), svg.text((start[0] - 6, start[1] + 4), tick.label, anchor="end")]
        for tick in across:
            foot, head = self.at(tick.share, 0), self.at(tick.share, 1)
            marks.append(svg.line(foot, head, "#eee"))
            if below:
                marks.append(svg.text((foot[0], foot[1] + 16), tick.label, anchor="middle"))
        return [*marks, svg.upright((16, self.top + self.height / 2), name)]

    def clipped(self, marks: Sequence[str], name: str) -> list[str]:
        return svg.clipped(marks, name, (self.left, self.top), (self.width, self.height))


def _between(at: Sequence[float], values: Sequence[float], place: float) -> float:
    """Straight interpolation at growing places, and beyond their ends."""
    right = min(max(bisect_left(at, place), 1), len(at) - 1)
    share = (place - at[right - 1]) / (at[right] - at[right - 1])
    return values[right - 1] + share * (values[right] - values[right - 1])
