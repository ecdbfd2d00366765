"""The best compromises of a search between objective and metric: data, a table and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from condensa_core.report.quantities import (
    FRACTIONS,
    UNKNOWN,
    bytes_text,
    figure_text,
    is_known,
    knobs_text,
    quantity_text,
    ratio_text,
)
from condensa_core.report.scatter import Axis, Dot, scatter

if TYPE_CHECKING:
    from condensa_core.report.outcome import FrontMember, Outcome

SPLIT: Final = "val"  # on which the search chose, and so the one on which the front is one


def front_rows(outcome: Outcome) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Columns and rows of the front, from the best objective to the best metric."""
    metric = outcome.constraint.metric if outcome.constraint else ""
    objective, unit = (outcome.objective.name, outcome.objective.unit) if outcome.objective else ("objective", "")
    splits = list(dict.fromkeys(split for member in outcome.front for split in member.metrics))
    columns = ("trial", "knobs", *(f"{metric} ({s})" for s in splits), objective, "times the reference's", "file")
    rows = []
    for member in outcome.front:
        figures = [member.metrics.get(split, {}).get(metric) for split in splits]
        ships = " *" if outcome.best and outcome.best.trial == member.trial else ""
        rows.append(
            (
                f"{member.trial}{ships}",
                knobs_text(member.knobs),
                *(UNKNOWN if figure is None else figure_text(metric, figure) for figure in figures),
                quantity_text(member.objective, unit),
                ratio_text(member.ratio),
                bytes_text(member.bytes),
            )
        )
    return columns, tuple(rows)


def front_chart(outcome: Outcome) -> str:
    """An SVG of the metric on `val` against the gain: reference, level, all trials, and the front joined.

    Gains are ratios to the reference, each from one comparison with it: values of comparisons hours apart would not do.
    """
    assert outcome.constraint is not None and outcome.objective is not None  # known as soon as a trial has ended
    metric, objective = outcome.constraint.metric, outcome.objective
    on_front = {member.trial: member for member in outcome.front}
    ships = outcome.best.trial if outcome.best else None
    dots = []
    reference = outcome.reference.metrics.get(SPLIT, {}).get(metric)
    if reference is not None and is_known(reference.value):
        dots.append(Dot(1.0, reference.value, "reference"))
    for trial in outcome.trials:
        if trial.number not in on_front and is_known(trial.metric) and is_known(trial.ratio):
            hint = f"trial {trial.number}: {knobs_text(trial.knobs)}"
            dots.append(Dot(trial.ratio, trial.metric, "other trials", hint=hint, ringed=trial.number == ships))
    places = [(member, place) for member in outcome.front if (place := _place(member, metric)) is not None]
    for member, (across, up) in places:
        hint = f"trial {member.trial}: {knobs_text(member.knobs)}"
        dots.append(Dot(across, up, "front", up_sd=_stderr(member, metric), hint=hint, ringed=member.trial == ships))
    limit = outcome.constraint.limit
    percent = metric in FRACTIONS
    return scatter(
        dots,
        Axis(f"{objective.name}, times better than the reference", lambda value: f"{value:.6g}x"),
        Axis(
            f"{metric} ({SPLIT})",
            lambda value: f"{100 * value:.6g} %" if percent else f"{value:.6g}",
            ((limit, "limit"),) if is_known(limit) else (),
        ),
        title=f"{outcome.name}: {metric} against {objective.name}, what ships ringed",
        front=[place for _, place in places],
    )


def _place(member: FrontMember, metric: str) -> tuple[float, float] | None:
    figure = member.metrics.get(SPLIT, {}).get(metric)
    ratio = member.ratio.value if member.ratio else None
    return (ratio, figure.value) if figure is not None and is_known(figure.value) and is_known(ratio) else None


def _stderr(member: FrontMember, metric: str) -> float:
    stderr = member.metrics[SPLIT][metric].stderr
    return stderr if is_known(stderr) else 0.0
