"""One paragraph that says what a run achieved, what it cost and where it lies."""

from __future__ import annotations

from pathlib import PurePosixPath

from condensa_core.report.assurance import bound_lines, met_text, search_lines, searched_lines
from condensa_core.report.engine_text import engine_lines
from condensa_core.report.model_input import ModelInput
from condensa_core.report.outcome import BestResult, GateResult, Outcome
from condensa_core.report.quantities import (
    bytes_text,
    count_text,
    duration_text,
    figure_text,
    is_known,
    knobs_text,
    quantity_text,
    ratio_text,
)

# What is written from the model itself, beside a model.onnx that computes in integers.
_FLOATING = ("model.float.onnx", "model.pt2", "weights.safetensors")


def verdict(outcome: Outcome) -> str:
    """The lines a user reads last: status, accuracy per split, speed with its interval, bytes, where the files are.

    Each line says one thing and stands alone; a figure that is unknown is left out, never invented.
    """
    lines = [_headline(outcome)]
    best = outcome.best
    if best is not None:
        lines += [
            *_quality(outcome, best),
            *_speed(outcome, best),
            *searched_lines(outcome),
            *_size(outcome, best),
            *_integers(outcome),
            *engine_lines(outcome),
        ]
    lines += [f"  gate       {_gate(gate)}" for gate in outcome.gates]
    lines += [f"  reason     {reason}" for reason in outcome.reasons]
    lines += _failed(outcome) + _passed_over(outcome) + search_lines(outcome)
    lines += [f"  note       {' '.join(note.split())}" for note in outcome.notes]
    lines += _places(outcome)
    return "\n".join(lines)


def _headline(outcome: Outcome) -> str:
    words = {
        "ok": f"done: {_all_that_holds(outcome)}",
        "infeasible": _infeasible(outcome),
        "gate-failed": "done, but a gate does not hold",
        "failed": "failed while running; what was finished is kept",
    }
    name = f"{outcome.name}: " if outcome.name else ""
    return name + words[outcome.status]


def _all_that_holds(outcome: Outcome) -> str:
    skipped = sum(gate.met is None for gate in outcome.gates)
    parts = [f"{skipped} gate{'' if skipped == 1 else 's'}"] if skipped else []
    if outcome.engine is not None and outcome.engine.skipped:
        parts.append("the engine")
    if not parts:
        return "everything the recipe declares holds"
    return f"everything judged here holds; {' and '.join(parts)} skipped"


def _infeasible(outcome: Outcome) -> str:
    if outcome.best is None:
        return "done, but no candidate could be shipped with confidence"
    if outcome.constraint is not None and outcome.constraint.met:
        return "done, but no candidate could be shipped with confidence; the best effort is kept"
    return "done, but no candidate met the constraint; the best effort is kept"


def _quality(outcome: Outcome, best: BestResult) -> list[str]:
    lines = []
    judged_by = outcome.constraint.metric if outcome.constraint else ""
    for split, figures in best.metrics.items():
        before = outcome.reference.metrics.get(split, {})
        # the metric the user bounded; the others are in the tables
        for metric in [judged_by] if judged_by in figures else figures:
            figure = figures[metric]
            was = f"{figure_text(metric, before[metric])} -> " if metric in before else ""
            count = f" ({figure.count:,} {outcome.counted})" if figure.count else ""
            lines.append(f"  {split:<10} {metric} {was}{figure_text(metric, figure)}{count}")
        if split in best.agreement:
            agreement = figure_text("agreement", best.agreement[split])
            lines.append(f"  {split:<10} predicts what the reference predicts on {agreement}")
    return lines + bound_lines(outcome)


def _speed(outcome: Outcome, best: BestResult) -> list[str]:
    objective = outcome.objective
    if objective is None:
        return []
    where = f" on {objective.target}" if objective.target else ""
    better = "better than " if objective.direction == "minimize" else ""  # "2x the reference's latency" would be worse
    ratio = f"{ratio_text(best.ratio)} {better}the reference's" if best.ratio and is_known(best.ratio.value) else ""
    before, after = outcome.reference.objective, best.objective
    absolute = ""
    if is_known(before) and is_known(after):
        absolute = f"{quantity_text(before, objective.unit)} -> {quantity_text(after, objective.unit)}"
    text = f"{ratio} ({absolute})" if ratio and absolute else ratio or absolute
    return [f"  {objective.name or 'objective':<10} {text}{where}"] if text else []


def _size(outcome: Outcome, best: BestResult) -> list[str]:
    before, lines = outcome.reference, []
    if best.bytes is not None:
        was = f"{bytes_text(before.bytes)} -> " if before.bytes is not None else ""
        times = f" ({before.bytes / best.bytes:.2f}x smaller)" if before.bytes and best.bytes else ""
        lines.append(f"  file       {was}{bytes_text(best.bytes)}{times}")
    for label, was_count, now_count in (
        ("parameters", before.parameters, best.parameters),
        ("MACs", before.macs, best.macs),
    ):
        if was_count is not None and now_count is not None:
            lines.append(f"  {label:<10} {count_text(was_count)} -> {count_text(now_count)}")
    return lines


def _integers(outcome: Outcome) -> list[str]:
    found = outcome.integers
    if found is None:
        return []
    count = f"{len(found.layers)} layer{'' if len(found.layers) == 1 else 's'} compute{'s' * (len(found.layers) == 1)}"
    rest = f"; in floating point: {', '.join(found.floating)}" if found.floating else ""
    lines = [f"  integers   {count} in integers{rest}"]
    timed = found.timed
    if is_known(timed.max_rel):
        agreed = timed.top1_agreement
        same = f", same class for {quantity_text(agreed, 'fraction')}" if is_known(agreed) else ""
        samples = f" ({timed.count} samples)" if timed.count else ""
        furthest = quantity_text(timed.max_rel, "fraction")
        lines.append(f"  integers   outputs within {furthest} of the float file's largest{same}{samples}")
    if found.speed is not None and is_known(found.speed.value):
        lines.append(f"  integers   {ratio_text(found.speed)} the speed of the same model in floating point")
    names = [PurePosixPath(artifact.path).name for artifact in outcome.artifacts]
    unrounded = [name for name in names if name in _FLOATING]
    if unrounded:
        lines.append(f"  integers   the same model in floating point is in {', '.join(unrounded)}")
    return lines


def _gate(gate: GateResult) -> str:
    if gate.reason:
        return f"{gate.text}: {'skipped' if gate.met is None else met_text(gate.met)}: {gate.reason}"
    told = [quantity_text(value, gate.unit) for value in (gate.low, gate.high) if is_known(value)]
    interval = f" [{', '.join(told)}]" if len(told) == 2 else ""
    near = ", within noise" if gate.within_noise else ""
    return f"{gate.text}: {quantity_text(gate.value, gate.unit)}{interval}, {met_text(gate.met)}{near}"


def _failed(outcome: Outcome) -> list[str]:
    """How many trials gave no figures, and why the first of them did not; nothing where all did."""
    failed = [trial for trial in outcome.trials if trial.status == "failed"]
    if not failed:
        return []
    count = f"{len(failed)} of {len(outcome.trials)} trials failed, the first because: "
    return [f"  failed     {count}{failed[0].reason or 'it did not say'}"]


def _passed_over(outcome: Outcome) -> list[str]:
    """The best trial that measured better than what ships, at a metric that holds the bound too narrowly to trust."""
    objective = outcome.objective
    ships = next((t for t in outcome.trials if outcome.best and t.number == outcome.best.trial), None)
    if outcome.status == "infeasible" or objective is None or ships is None or not is_known(ships.objective):
        return []  # of a best effort, the reason says it
    sign = 1 if objective.direction == "maximize" else -1
    better = [
        (sign * trial.objective, trial)
        for trial in outcome.trials
        if trial.feasible and is_known(trial.objective) and sign * (trial.objective - ships.objective) > 0
    ]
    if not better:
        return []
    trial = max(better, key=lambda pair: pair[0])[1]
    sure = f": P(met) {trial.probability:.2f}" if is_known(trial.probability) else ""
    value = quantity_text(trial.objective, objective.unit)
    return [f"  not taken  trial {trial.number} ({value}) holds the bound by less than its noise{sure}"]


def _places(outcome: Outcome) -> list[str]:
    lines = []
    if outcome.best is not None:
        found = f"trial {outcome.best.trial} ({knobs_text(outcome.best.knobs)})"
        used = f"{outcome.trainings_used} L-C run{'' if outcome.trainings_used == 1 else 's'}"
        lines.append(f"  found      {found}, {used}{_short(outcome)}")
    if outcome.front:
        folders = f"{outcome.front[0].folder.partition('/')[0]}/"
        count = f"{len(outcome.front)} compromise{'' if len(outcome.front) == 1 else 's'}"
        lines.append(f"  front      {count} in {folders}, drawn in front.svg; 'condensa report' lists them")
    lines += _cost(outcome)
    if outcome.artifacts:
        lines.append("  artifacts  " + ", ".join(f"{a.path} ({bytes_text(a.bytes)})" for a in outcome.artifacts))
    lines += [f"  input      {text}" for text in map(_input, outcome.inputs) if text]
    if outcome.run_dir:
        lines.append(f"  in         {outcome.run_dir}")
    return lines


def _input(wanted: ModelInput) -> str:
    """How images become what the model wants; nothing where data comes as it is."""
    if wanted.mean is None or wanted.deviation is None or wanted.pixels is None:
        return ""
    mean, deviation = (_per_channel(figures) for figures in (wanted.mean, wanted.deviation))
    low, high = wanted.pixels
    shape = " x ".join(str(size) for size in wanted.shape)
    return f"'{wanted.name}', {shape}: (pixel - {mean}) / {deviation} for pixels of {low:g} to {high:g}"


def _per_channel(figures: tuple[float, ...]) -> str:
    told = [f"{figure:.4g}" for figure in figures]
    return told[0] if len(told) == 1 else f"[{', '.join(told)}]"


def _cost(outcome: Outcome) -> list[str]:
    cost = outcome.training_cost
    if cost is None:
        return []
    count = f"{outcome.trainings_used} training{'' if outcome.trainings_used == 1 else 's'}"
    if is_known(cost.references):
        spent = f"{cost.references:.2g}x the cost of training the reference"
    else:
        spent = f"{count_text(cost.training_macs)} MACs forward and back"
    return [f"  cost       {count}, {spent}, {duration_text(cost.processor_s)} of processor time"]


def _short(outcome: Outcome) -> str:
    found = outcome.search.short_runs if outcome.search else None
    return f" and {found.trainings} short ones ({found.share:.0%} of one)" if found else ""
