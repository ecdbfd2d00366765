"""How sure a result is, in sentences: distance to the limit, the search's belief, its effort beside bisection's."""

from __future__ import annotations

from condensa_core.report.outcome import BisectionResult, Outcome
from condensa_core.report.quantities import FRACTIONS, is_known, knobs_text, metric_text, quantity_text, ratio_text

_CLEAR_SD = 1.96  # of its standard error: beyond lies 5 % of pure noise


def bound_lines(outcome: Outcome) -> list[str]:
    """The bound on the split that steered the search, and on the one it never read."""
    bound = outcome.constraint
    if bound is None or not is_known(bound.value):
        return []
    reached, limit = metric_text(bound.metric, bound.value), metric_text(bound.metric, bound.limit)
    clear = distance_text(bound.metric, bound.value, bound.limit, bound.stderr)
    lines = [f"  constraint {bound.text}: {reached} against the limit {limit}, {met_text(bound.met)}{clear}"]
    test = bound.test
    if test is not None and is_known(test.value):
        reached, limit = metric_text(bound.metric, test.value), metric_text(bound.metric, test.limit)
        clear = distance_text(bound.metric, test.value, test.limit, test.stderr)
        told = f"{reached} against the limit {limit}, {met_text(test.met)}{clear}"
        lines.append(f"  on test    {told}; the search never read this split")
    return lines


def distance_text(metric: str, value: float, limit: float | None, stderr: float | None) -> str:
    """` by 0.39 ± 0.85 points, within noise`; nothing where the limit or the standard error is unknown."""
    if not (is_known(limit) and is_known(stderr)):
        return ""
    distance = abs(value - limit)
    within = ", within noise" if distance < _CLEAR_SD * stderr else ""
    if metric in FRACTIONS:
        return f" by {100 * distance:.2f} ± {100 * stderr:.2f} points{within}"
    return f" by {distance:.2g} ± {stderr:.2g}{within}"


def searched_lines(outcome: Outcome) -> list[str]:
    """The measured gain of the search beside that of the artifact; nothing where it is counted, and so the same."""
    best, objective = outcome.best, outcome.objective
    if best is None or objective is None or best.ratio is None or best.searched is None:
        return []
    now, then = best.ratio, best.searched
    if not (is_known(now.low) and is_known(now.high) and is_known(then.low) and is_known(then.high)):
        return []
    if then.low == then.high:
        return []
    overlap = max(now.low, then.low) <= min(now.high, then.high)
    words = "the same within noise" if overlap else "more than noise apart: trust the longer measurement above"
    return [f"  in search  {ratio_text(then)} when it was measured as a trial, {words}"]


def search_lines(outcome: Outcome) -> list[str]:
    """P(the bound holds), the bracket, why the search ended; and what bisection would have done."""
    found = outcome.search
    if found is None or outcome.best is None:
        return []
    parts = []
    if is_known(found.probability):
        parts.append(f"P(the bound holds) {found.probability:.2f} given all trials")
    if found.bracket is not None and len(outcome.best.knobs) == 1:
        name = next(iter(outcome.best.knobs))
        holds, fails = found.bracket
        parts.append(f"judged to hold up to {name} {holds:.4g}" if is_known(holds) else "no trial is judged to hold")
        parts.append(f"to break from {fails:.4g} on" if is_known(fails) else _unbroken(outcome))
    lines = [f"  sure       {', '.join(parts)}"] if parts else []
    if found.reason:
        lines.append(f"  search     {found.method}: {found.reason}")
    return lines + _bisection(outcome)


def _unbroken(outcome: Outcome) -> str:
    """That no trial closes the bracket from above, and which one measured beyond the limit all the same."""
    bound = outcome.constraint
    missed = [(trial.metric, trial) for trial in outcome.trials if trial.feasible is False and is_known(trial.metric)]
    if bound is None or not is_known(bound.limit) or not missed:
        return "no stronger trial broke it"
    limit = bound.limit
    metric, nearest = min(missed, key=lambda pair: abs(pair[0] - limit))
    clear = distance_text(bound.metric, metric, limit, nearest.stderr)
    others = f", as {len(missed) - 1} more did" if len(missed) > 1 else ""
    at = knobs_text(nearest.knobs)
    return f"no trial is judged to break it, though trial {nearest.number} at {at} missed the limit{clear}{others}"


def _bisection(outcome: Outcome) -> list[str]:
    """One sentence a coordinate, whoever was quicker."""
    found = outcome.search
    assert found is not None
    if not (is_known(found.trainings) and is_known(found.reached_after) and is_known(found.ships)):
        return []
    lines = []
    published = None if _as_good(found.bisection_raw, found.bisection) else found.bisection_raw  # it says nothing new
    for played, where in ((found.bisection, "bisection"), (published, "bisection as published, in the knob itself,")):
        if played is not None:
            told = _compared(played, found.trainings, found.reached_after, found.ships)
            lines.append(f"  beside it  {where} {told}")
    return lines


def _as_good(one: BisectionResult | None, other: BisectionResult | None) -> bool:
    """Whether both would be told in the same words, but for how many answers are the fitted curve's."""
    if one is None or other is None:
        return one is other
    return (one.reached_after, quantity_text(one.ships, "x")) == (other.reached_after, quantity_text(other.ships, "x"))


def _compared(played: BisectionResult, trainings: int, reached: int, ships: float) -> str:
    mine, count = f"this search after {reached}", _trainings(played.reached_after or 0)
    if played.reached_after is None:
        speed = f"would not have come within 1 % of this objective on the same answers, {mine}"
    elif played.reached_after < reached:
        speed = f"would have been quicker on the same answers: within 1 % of this objective after {count}, {mine}"
    elif played.reached_after == reached:
        speed = f"would have been as quick on the same answers: within 1 % of this objective after {count}"
    else:
        speed = f"would have come within 1 % of this objective after {count} on the same answers, {mine}"
    ends = f"would ship {quantity_text(played.ships, 'x')}, this search {quantity_text(ships, 'x')}"
    curve = f" (by the fitted curve at {played.believed} of its settings)" if played.believed else ""
    return f"{speed}; after {trainings} it {ends}{curve}"


def _trainings(count: int) -> str:
    return f"{count} training{'' if count == 1 else 's'}"


def met_text(met: bool | None) -> str:
    return {True: "met", False: "NOT met", None: "not judged"}[met]
