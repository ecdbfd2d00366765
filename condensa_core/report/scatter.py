"""Points of two measured quantities as a picture: trials of several knobs, or a Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from condensa_core.report import svg
from condensa_core.report.axes import Label, Panel, round_ticks, straight

_WIDTH, _HEIGHT = 720, 420
_PANEL = Panel(76, 40, 450, 310)
_ROOM = 0.06  # of each axis, left free at its ends
_BESIDE = 540


@dataclass(frozen=True)
class Dot:
    """A point with the standard deviations of both figures; `kind` is its entry in the legend, `hint` what it is."""

    across: float
    up: float
    kind: str
    across_sd: float = 0.0
    up_sd: float = 0.0
    hint: str = ""
    ringed: bool = False


@dataclass(frozen=True)
class Axis:
    """The name of a quantity, how its round values are written, and levels to be drawn: (value, name)."""

    name: str
    label: Label
    levels: tuple[tuple[float, str], ...] = ()


def scatter(
    dots: Sequence[Dot], across: Axis, up: Axis, *, title: str, front: Sequence[tuple[float, float]] = ()
) -> str:
    """An SVG of the dots with their error bars; `front` joins the best compromises, in order. A kind has a colour."""
    wide = [v for dot in dots for v in (dot.across - dot.across_sd, dot.across + dot.across_sd)]
    high = [v for dot in dots for v in (dot.up - dot.up_sd, dot.up + dot.up_sd)]
    x, y = (
        straight(*_roomy([*values, *(value for value, _ in axis.levels), *(place[i] for place in front)]))
        for i, (values, axis) in enumerate(((wide, across), (high, up)))
    )

    def at(right: float, above: float) -> svg.Place:
        return _PANEL.at(x.share(right), y.share(above))

    marks = [
        svg.text((_PANEL.left, 20), title, size=14),
        svg.text((_PANEL.left + _PANEL.width / 2, _HEIGHT - 16), across.name, anchor="middle"),
        *_PANEL.frame(
            round_ticks(x, across.label, start=0.03, end=0.97), round_ticks(y, up.label, start=0.03, end=0.97), up.name
        ),
    ]
    for value, name in across.levels:
        marks += [svg.line(_PANEL.at(x.share(value), 0), _PANEL.at(x.share(value), 1), "#555", dashes="5 4")]
        marks.append(svg.text(_PANEL.at(x.share(value), 1.01), name, anchor="middle"))
    for value, name in up.levels:
        marks += [svg.line(_PANEL.at(0, y.share(value)), _PANEL.at(1, y.share(value)), "#555", dashes="5 4")]
        marks.append(svg.text((_BESIDE - 8, _PANEL.at(1, y.share(value))[1] + 4), name))
    if len(front) > 1:
        marks.append(svg.polyline([at(*place) for place in front], "#999", width=1.5))
    kinds = list(dict.fromkeys(dot.kind for dot in dots))
    colours = {kind: svg.COLOURS[i % len(svg.COLOURS)] for i, kind in enumerate(kinds)}
    for dot in dots:
        colour = colours[dot.kind]
        if dot.across_sd > 0:
            ends = at(dot.across - dot.across_sd, dot.up), at(dot.across + dot.across_sd, dot.up)
            marks.append(svg.line(*ends, colour))
        if dot.up_sd > 0:
            marks.append(svg.line(at(dot.across, dot.up - dot.up_sd), at(dot.across, dot.up + dot.up_sd), colour))
        marks.append(svg.dot(at(dot.across, dot.up), colour, hint=dot.hint))
        if dot.ringed:
            marks.append(svg.ring(at(dot.across, dot.up), "#000"))
    for position, kind in enumerate(kinds):
        middle = (_BESIDE + 10, _PANEL.top + _PANEL.height - 20.0 * (len(kinds) - position))
        marks += [svg.dot(middle, colours[kind]), svg.text((middle[0] + 14, middle[1] + 4), kind)]
    return svg.picture(_WIDTH, _HEIGHT, title, marks)


def _roomy(values: Sequence[float]) -> tuple[float, float]:
    """The range of the values, or 0 to 1 without any, with room at both ends."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = _ROOM * (high - low)
    return low - room, high + room
