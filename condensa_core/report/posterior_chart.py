"""A search over one knob as a picture: what is believed of the metric, and the objective along the same axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from condensa_core.report import svg
from condensa_core.report.axes import Panel, Scale, Tick, logarithmic, round_ticks, straight, through
from condensa_core.report.quantities import FRACTIONS, metric_text, quantity_text

if TYPE_CHECKING:
    from condensa_core.search import Portrait

_WIDTH, _HEIGHT = 860, 620
_LEFT, _INSIDE, _RIGHT = 76, 580, 676
_UPPER = Panel(_LEFT, 40, _INSIDE, 330)
_LOWER = Panel(_LEFT, 400, _INSIDE, 160)
_BLUE, _LEVEL, _SHIPS = svg.COLOURS[0], svg.COLOURS[1], "#000"
_STATES: Final = {  # colour, hollow, words
    "holds": (svg.COLOURS[2], False, "holds the bound"),
    "narrow": (svg.COLOURS[2], True, "meets it within noise"),
    "breaks": (svg.COLOURS[1], False, "breaks the bound"),
    "aborted": ("#777", True, "given up, as expected"),
    "failed": ("#777", False, "failed to train"),
}
_MOST_CHOICES = 10
_ROOM = 0.06  # of the axis, left free above and below


def posterior_chart(found: Portrait, *, title: str, metric: str) -> str:
    """An SVG of two panels over the knob, from the reference model to the strongest setting.

    Above, the metric with its posterior median and bands, its level, the reference, the bracket and every trial, drawn
    finer towards the level; below, the objective of untrained candidates as a multiple of the reference's, the records
    as a staircase. The latest trial wears a thin ring, the one to ship now a thick one.
    """
    across = _knob_ticks(found)
    up, heights = _metric_axis(found, metric)
    marks = [svg.text((_LEFT, 20), title, size=14)]
    marks += _UPPER.frame(across, heights, f"{metric}, finer near the limit", below=False)
    marks += _UPPER.clipped(_belief(found, up, metric), "upper")
    marks += _levels(found, up) + _trials(found, up, metric)
    marks += _objective(found, across)
    marks.append(svg.text((_LEFT + _INSIDE / 2, _HEIGHT - 16), found.knob, anchor="middle"))
    return svg.picture(_WIDTH, _HEIGHT, title, [*marks, *_legend(found)])


def _knob_ticks(found: Portrait) -> list[Tick]:
    """Round values of a range, every one of a few choices; the reference where no setting is at its place."""
    mildest = found.marks[0][0]
    reference = [Tick(0.0, "reference")] if mildest > 0 else []
    values = [value for _, value in found.marks]
    if len(values) <= _MOST_CHOICES or any(isinstance(value, str) for value in values):
        shown = found.marks[:: max(1, -(-len(values) // _MOST_CHOICES))]
        return [*reference, *(Tick(unit, str(value)) for unit, value in shown)]
    scale = through([(unit, float(value)) for unit, value in found.marks])
    ticks = round_ticks(scale, lambda value: f"{value:.6g}", start=mildest, count=8)
    return [*reference, *(tick for tick in ticks if not reference or tick.share > 2 * _ROOM)]


def _metric_axis(found: Portrait, metric: str) -> tuple[Scale, list[Tick]]:
    """The scale of heights that shows level, reference, median and every trial with its noise."""
    seen = [found.level, found.reference, *found.median]
    for trial in found.trained:
        if trial.metric is not None:
            sd = trial.sd or 0.0
            seen += [trial.metric, trial.metric - sd, trial.metric + sd]
    if metric in FRACTIONS:
        seen = [min(max(value, 0.0), 1.0) for value in seen]
    heights = [found.height(value) for value in seen]
    room = _ROOM * (max(heights) - min(heights))
    up = straight(min(heights) - room, max(heights) + room)
    by_metric = Scale(lambda value: up.share(found.height(value)), lambda share: found.metric_at(up.value(share)))
    fraction = metric in FRACTIONS
    ticks = round_ticks(by_metric, lambda v: f"{100 * v:.6g} %" if fraction else f"{v:.6g}", start=0.04, end=0.96)
    return by_metric, ticks


def _belief(found: Portrait, up: Scale, metric: str) -> list[str]:
    def curve(metrics: tuple[float, ...]) -> list[svg.Place]:
        possible = [min(max(value, 0.0), 1.0) for value in metrics] if metric in FRACTIONS else metrics
        return [_UPPER.at(unit, up.share(value)) for unit, value in zip(found.units, possible, strict=True)]

    holds, fails = found.bracket
    end = 1.0 if fails is None else fails
    corners = [_UPPER.at(holds, 0), _UPPER.at(end, 0)], [_UPPER.at(holds, 1), _UPPER.at(end, 1)]
    marks = [svg.area(*corners, "#e69f00", 0.12)]
    marks += [svg.area(curve(band.low), curve(band.high), _BLUE, 0.16) for band in found.bands]
    marks.append(svg.polyline(curve(found.median), _BLUE))
    return marks


def _levels(found: Portrait, up: Scale) -> list[str]:
    marks = []
    for value, colour, dashes in ((found.level, _LEVEL, ""), (found.reference, "#555", "5 4")):
        height = up.share(value)
        marks.append(svg.line(_UPPER.at(0, height), _UPPER.at(1, height), colour, width=1.5, dashes=dashes))
    for unit in found.waiting:
        marks.append(svg.line(_UPPER.at(unit, 0), _UPPER.at(unit, 1), "#999", dashes="2 4"))
    return marks


def _trials(found: Portrait, up: Scale, metric: str) -> list[str]:
    marks = []
    for position, trial in enumerate(found.trained):
        colour, hollow, words = _STATES[trial.state]
        hint = f"trial {trial.number}: {found.knob} {trial.value}, {words}"
        if trial.metric is None:
            place = _UPPER.at(trial.unit, _ROOM / 2)
            marks.append(svg.cross(place, colour, hint=hint))
        else:
            place = _UPPER.at(trial.unit, up.share(trial.metric))
            sd = trial.sd or 0.0
            low, high = (_UPPER.at(trial.unit, up.share(trial.metric + side * sd)) for side in (-1, 1))
            hint += f", {metric} {metric_text(metric, trial.metric)} ± {metric_text(metric, sd)}"
            bar = _UPPER.clipped([svg.line(low, high, colour, width=1.5)], f"sd{position}")
            marks += [*bar, svg.dot(place, colour, hollow=hollow, hint=hint)]
        if position == len(found.trained) - 1:
            marks.append(svg.ring(place, "#555"))
    return marks


def _objective(found: Portrait, across: list[Tick]) -> list[str]:
    shown = [factor for _, factor in (*found.settings, *found.records)]
    shown += [trial.factor for trial in found.trained if trial.factor is not None]
    scale = logarithmic(min([1.0, *shown]) / 1.1, max([1.0, *shown]) * 1.1)
    ticks = round_ticks(scale, lambda value: f"{value:.6g}x", count=4)
    marks = _LOWER.frame(across, ticks, f"{found.objective}, times better")
    marks.append(svg.line(_LOWER.at(0, scale.share(1.0)), _LOWER.at(1, scale.share(1.0)), "#555", dashes="5 4"))
    marks += [svg.dot(_LOWER.at(unit, scale.share(factor)), "#bbb", radius=1.5) for unit, factor in found.settings]
    steps, best = [_LOWER.at(0, scale.share(1.0))], 1.0
    for unit, factor in found.records:
        steps += [_LOWER.at(unit, scale.share(best)), _LOWER.at(unit, scale.share(factor))]
        best = factor
    marks.append(svg.polyline([*steps, _LOWER.at(1, scale.share(best))], _BLUE, width=1.5))
    for trial in found.trained:
        if trial.factor is None or trial.metric is None:
            continue
        colour, hollow, words = _STATES[trial.state]
        place = _LOWER.at(trial.unit, scale.share(trial.factor))
        marks.append(svg.dot(place, colour, hollow=hollow, hint=f"{quantity_text(trial.factor, 'x')}, {words}"))
        if trial.unit == found.best:
            marks += [svg.ring(place, _SHIPS, radius=8), svg.text((place[0] + 10, place[1] + 20), "ships")]
    return marks


def _legend(found: Portrait) -> list[str]:
    marks: list[str] = []
    height = 50.0

    def entry(mark: str, words: str) -> None:
        nonlocal height
        marks.extend([mark, svg.text((_RIGHT + 26, height + 4), words)])
        height += 20

    lines = [(_BLUE, "", "median"), (_LEVEL, "", "limit"), ("#555", "5 4", "reference")]
    for colour, dashes, words in [*lines, *([("#999", "2 4", "being trained")] if found.waiting else [])]:
        entry(svg.line((_RIGHT, height), (_RIGHT + 20, height), colour, width=2, dashes=dashes), words)
    shades = [(_BLUE, 0.16 * (i + 1), f"{band.share:.0%} band") for i, band in enumerate(found.bands)]
    for colour, opacity, words in [*shades, ("#e69f00", 0.12, "bracket")]:
        low, high = ([(_RIGHT, height + side), (_RIGHT + 20, height + side)] for side in (6, -6))
        entry(svg.area(low, high, colour, opacity), words)
    for state, (colour, hollow, words) in _STATES.items():
        if any(trial.state == state for trial in found.trained):
            middle = (_RIGHT + 10, height)
            entry(svg.cross(middle, colour) if state == "failed" else svg.dot(middle, colour, hollow=hollow), words)
    if found.trained:
        entry(svg.ring((_RIGHT + 10, height), "#555"), "latest trial")
    height = _LOWER.top + 10
    entry(svg.line((_RIGHT, height), (_RIGHT + 20, height), _BLUE, width=1.5), "records")
    entry(svg.dot((_RIGHT + 10, height), "#bbb", radius=1.5), "untrained candidates")
    return marks
