"""Lines over counts as a scalable picture, without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from condensa_core.report import svg
from condensa_core.report.axes import Panel, Tick

_WIDTH, _HEIGHT = 720, 420
_PANEL = Panel(64, 36, _WIDTH - 64 - 190, _HEIGHT - 36 - 52)
_TICKS = 5


def line_chart(lines: Mapping[str, Sequence[float]], *, title: str, across: str, up: str) -> str:
    """An SVG of named lines over 1, 2, 3, ...; values are shares, 0 at the bottom, drawn as percent."""
    longest = max((len(values) for values in lines.values()), default=1)
    top = max((value for values in lines.values() for value in values), default=0.0) or 1.0
    digits = 0 if top >= 0.05 else 1 if top >= 0.005 else 2

    def x(number: float) -> float:
        return (number - 1) / max(longest - 1, 1)

    counts = [Tick(x(number), str(number)) for number in range(1, longest + 1, max(1, longest // 10))]
    heights = [Tick(tick / _TICKS, f"{top * tick / _TICKS:.{digits}%}") for tick in range(_TICKS + 1)]
    right = _PANEL.left + _PANEL.width
    marks = [
        svg.text((_PANEL.left, 20), title, size=14),
        svg.text((_PANEL.left + _PANEL.width / 2, _HEIGHT - 12), across, anchor="middle"),
        *_PANEL.frame(counts, heights, up),
    ]
    for position, (name, values) in enumerate(lines.items()):
        colour = svg.COLOURS[position % len(svg.COLOURS)]
        dashes = "6 3" if position >= len(svg.COLOURS) else ""
        drawn = (_PANEL.at(x(number), value / top) for number, value in enumerate(values, 1))
        beside = _PANEL.top + 18 * position
        marks += [
            svg.polyline(drawn, colour, dashes=dashes),
            svg.line((right + 12, beside), (right + 32, beside), colour, width=2, dashes=dashes),
            svg.text((right + 38, beside + 4), name),
        ]
    return svg.picture(_WIDTH, _HEIGHT, title, marks)
