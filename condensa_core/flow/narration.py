"""A run's events in the words of its recipe: what rooms call a metric and an objective has names, and a bound."""

from __future__ import annotations

from dataclasses import replace

from condensa_core.flow.objective import Objective
from condensa_core.progress import Advanced, Event, Listener, OfTrial, TrialEnded
from condensa_core.recipe import ConstraintSpec
from condensa_core.report.quantities import knobs_text, metric_text, quantity_text


def narrated(listener: Listener, constraint: ConstraintSpec, objective: Objective, reference: float) -> Listener:
    """`listener`, told what only the recipe knows; `reference` is the reference's value of the bounded metric.

    Validation scores (`val`) become `val_<metric>`. A trial's figures get the `limit` of the metric and whether it
    `holds`, and its detail says so.
    """

    def in_words(event: Event) -> Event:
        if isinstance(event, OfTrial):
            return replace(event, event=in_words(event.event))
        if isinstance(event, Advanced) and "val" in event.values:
            named = {f"val_{constraint.metric}" if k == "val" else k: v for k, v in event.values.items()}
            return replace(event, values=named)
        if isinstance(event, TrialEnded):
            return _judged(event, constraint, objective, reference)
        return event

    return lambda event: listener(in_words(event))


def _judged(trial: TrialEnded, constraint: ConstraintSpec, objective: Objective, reference: float) -> TrialEnded:
    figures = dict(trial.values)
    value, gained, failure = (figures.pop(name, None) for name in ("metric", "objective", "failure"))
    knobs = f"{knobs_text(figures)}, " if figures else ""
    known = " (known from before)" if trial.status == "reused" else ""
    if not isinstance(value, float):
        return replace(trial, detail=f"{knobs}failed: {failure}{known}")
    limit, holds = constraint.limit(reference), constraint.met(value, reference)
    floor = constraint.bound in ("max_drop", "at_least")
    verdict = "holds the bound" if holds else f"{'below' if floor else 'above'} the bound"
    sign = {(True, True): ">=", (True, False): "<", (False, True): "<=", (False, False): ">"}[floor, holds]
    shown = " ".join((constraint.metric, metric_text(constraint.metric, value), sign))
    verdict = f"given up ({failure}), {verdict}" if failure else verdict
    detail = f"{knobs}{verdict} ({shown} {metric_text(constraint.metric, limit)})"
    if isinstance(gained, float):
        counted = objective.unit in ("MACs", "parameters")  # such a unit says what is meant
        detail += f", {'' if counted else f'{objective.name} '}{quantity_text(gained, objective.unit)}"
    return replace(trial, values={**trial.values, "limit": limit, "holds": holds}, detail=detail + known)
