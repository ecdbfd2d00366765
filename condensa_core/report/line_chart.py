"""Lines over counts as a scalable picture, without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 190, 36, 52
# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")
_TICKS = 5


def line_chart(lines: Mapping[str, Sequence[float]], *, title: str, across: str, up: str) -> str:
    """An SVG of named lines over 1, 2, 3, ...; values are shares, 0 at the bottom, drawn as percent."""
    longest = max((len(values) for values in lines.values()), default=1)
    top = max((value for values in lines.values() for value in values), default=0.0) or 1.0

    def x(number: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (number - 1) / max(longest - 1, 1)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        f' font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, _TOP - 16, title, size=14),
        _text((x(1) + x(longest)) / 2, _HEIGHT - 12, across, anchor="middle"),
        f'<g transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:.1f}) rotate(-90)">'
        + _text(0, 0, up, anchor="middle")
        + "</g>",
    ]
    for tick in range(_TICKS + 1):
        value = top * tick / _TICKS
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
        )
        parts.append(_text(_LEFT - 6, y(value) + 4, f"{value:.0%}", anchor="end"))
    for number in range(1, longest + 1, max(1, longest // 10)):
        parts.append(_text(x(number), _HEIGHT - _BOTTOM + 16, str(number), anchor="middle"))
    for position, (name, values) in enumerate(lines.items()):
        colour = _COLOURS[position % len(_COLOURS)]
        dashes = ' stroke-dasharray="6 3"' if position >= len(_COLOURS) else ""
        points = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in enumerate(values, 1))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        beside = _TOP + 18 * position
        parts.append(
            f'<line x1="{_WIDTH - _RIGHT + 12}" x2="{_WIDTH - _RIGHT + 32}" y1="{beside}" y2="{beside}"'
            f' stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        parts.append(_text(_WIDTH - _RIGHT + 38, beside + 4, name))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
