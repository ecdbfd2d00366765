"""Numbers as people read them: fractions as percent, bytes in KiB and MiB, ratios with their interval.

A number that is absent or not finite is shown as unknown.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from condensa_core.report.outcome import Figure, Knobs, Value
from condensa_core.report.ratio import RatioInterval

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # only for the type checker: Python has it from 3.13

# metrics that are fractions of the samples; every other metric is shown as the bare number it is
FRACTIONS = frozenset({"top1", "top5", "agreement"})
UNKNOWN = "-"


def is_known(value: float | None) -> TypeIs[float]:
    """Whether a figure says something: it is there, and finite."""
    return value is not None and math.isfinite(value)


def bytes_text(size_bytes: int | None) -> str:
    """`6.00 MiB`, `12.3 KiB` or `512 B`: three significant digits, binary units."""
    if size_bytes is None:
        return UNKNOWN
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 999.5 or unit == "GiB":
            return f"{size_bytes} B" if unit == "B" else f"{_three_digits(size)} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def count_text(count: float | None) -> str:
    """`61.2 M`, `3.4 k` or `512`: parameters and operations, decimal units."""
    if not is_known(count):
        return UNKNOWN
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= limit:
            return f"{_three_digits(count / limit)} {unit}"
    return f"{count:g}"


def metric_text(metric: str, value: float | None) -> str:
    """`97.22 %` for a fraction, four significant digits for anything else."""
    if not is_known(value):
        return UNKNOWN
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.4g}"


def figure_text(metric: str, figure: Figure) -> str:
    """`97.22 % ± 0.77` : the value and one standard error in the same unit."""
    text = metric_text(metric, figure.value)
    if not (is_known(figure.value) and is_known(figure.stderr)):
        return text
    scale = 100 if metric in FRACTIONS else 1
    error = f"{scale * figure.stderr:.2f}" if metric in FRACTIONS else f"{figure.stderr:.2g}"
    return f"{text} ± {error}"


def ratio_text(ratio: RatioInterval | None) -> str:
    """`2.31x [2.25, 2.38]`, the interval only where it is known."""
    if ratio is None or not is_known(ratio.value):
        return UNKNOWN
    text = f"{ratio.value:.2f}x"
    if is_known(ratio.low) and is_known(ratio.high) and ratio.low < ratio.high:  # a count has no interval
        text += f" [{ratio.low:.2f}, {ratio.high:.2f}]"
    return text


def quantity_text(value: float | None, unit: str) -> str:
    """A value in the unit an objective or gate is stated in: bytes, x (a ratio), s, 1/s, fraction, or a bare number."""
    if not is_known(value):
        return UNKNOWN
    if unit == "bytes":
        return bytes_text(round(value))
    if unit == "x":
        return f"{value:.2f}x"
    if unit == "s":
        return duration_text(value)
    if unit == "fraction":
        return f"{100 * value:.2f} %"
    if unit == "1/s":
        return f"{value:,.0f} per s" if value >= 100 else f"{_three_digits(value)} per s"
    return f"{count_text(value)} {unit}".rstrip()


def duration_text(seconds: float) -> str:
    """`850 us`, `12.3 ms`, `4.56 s`, `2 min 05 s` or `1 h 02 min`."""
    if not is_known(seconds):
        return UNKNOWN
    if seconds < 1e-3:
        return f"{_three_digits(seconds * 1e6)} us"
    if seconds < 1:
        return f"{_three_digits(seconds * 1e3)} ms"
    if seconds < 60:
        return f"{_three_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def knobs_text(knobs: Knobs) -> str:
    """`early 0.31, late 0.62`."""
    return ", ".join(f"{name} {_knob(value)}" for name, value in knobs.items()) or UNKNOWN


def _knob(value: Value) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if is_known(value) else UNKNOWN


def _three_digits(value: float) -> str:
    size = abs(value)
    return f"{value:.2f}" if size < 9.995 else f"{value:.1f}" if size < 99.95 else f"{value:.0f}"
