"""The outcome as tables of plain text: a title, column names and rows, for any front end to draw."""

from __future__ import annotations

from dataclasses import dataclass

from condensa_core.report.front import front_rows
from condensa_core.report.outcome import Outcome
from condensa_core.report.quantities import (
    UNKNOWN,
    bytes_text,
    count_text,
    figure_text,
    is_known,
    knobs_text,
    metric_text,
    quantity_text,
)
from condensa_core.report.training_cost import TrainingCost


@dataclass(frozen=True)
class Table:
    """A titled table; every row has one text per column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(outcome: Outcome) -> tuple[Table, ...]:
    """Before and after, layers, trials and why some failed, gates and artifacts; a table without rows is left out."""
    drawn = (
        _before_and_after(outcome),
        _sizes(outcome),
        _integers(outcome),
        _layers(outcome),
        _sensitivity(outcome),
        _trials(outcome),
        _failures(outcome),
        Table("front (* ships)", *front_rows(outcome)),
        _gates(outcome),
        _artifacts(outcome),
    )
    return tuple(table for table in drawn if table.rows)


def _before_and_after(outcome: Outcome) -> Table:
    reference, best, direct = outcome.reference, outcome.best, outcome.direct
    rows: list[tuple[str, ...]] = []
    for split, figures in reference.metrics.items():
        for metric, figure in figures.items():
            after = best.metrics.get(split, {}).get(metric) if best else None
            unlearned = direct.metrics.get(split, {}).get(metric) if direct else None
            rows.append(
                (
                    f"{metric} ({split})",
                    figure_text(metric, figure),
                    figure_text(metric, after) if after else UNKNOWN,
                    figure_text(metric, unlearned) if unlearned else UNKNOWN,
                )
            )
    unit = outcome.objective.unit if outcome.objective else ""
    name = (outcome.objective.name if outcome.objective else "") or "objective"
    figures_of_size = (
        (
            name,
            quantity_text(reference.objective, unit),
            quantity_text(best.objective if best else None, unit),
        ),
        ("file", bytes_text(reference.bytes), bytes_text(best.bytes if best else None)),
        ("parameters", count_text(reference.parameters), count_text(best.parameters if best else None)),
        ("MACs", count_text(reference.macs), count_text(best.macs if best else None)),
    )
    rows += [(*row, UNKNOWN) for row in figures_of_size if row[1:] != (UNKNOWN, UNKNOWN)]
    return Table("before and after", ("", "reference", "compressed", "direct compression"), tuple(rows))


def _sizes(outcome: Outcome) -> Table:
    """Only where there is a packed file: else the one file says it all."""
    sizes, reference = outcome.sizes, outcome.reference.bytes
    theory = None if sizes.theoretical_bits is None else -(-sizes.theoretical_bits // 8)
    dense = 4 * outcome.reference.parameters if is_known(outcome.reference.parameters) else None
    rows = [
        ("model.onnx", bytes_text(sizes.onnx), _times(reference, sizes.onnx)),
        ("model.packed.onnx", bytes_text(sizes.packed), _times(reference, sizes.packed)),
        ("weights in theory, positions included", bytes_text(theory), _times(dense, theory)),
        ("non-zero weights alone, as papers count", UNKNOWN, quantity_text(sizes.ratio_paper, "x")),
    ]
    title = "sizes, and how many times smaller than the reference"
    return Table(title, ("", "size", "smaller"), tuple(rows) if is_known(sizes.packed) else ())


def _times(before: float | None, after: float | None) -> str:
    return quantity_text(before / after, "x") if is_known(before) and is_known(after) and after else UNKNOWN


def _integers(outcome: Outcome) -> Table:
    """What rounding activations does to the outputs, by the session that is timed and by what is written down."""
    title = "model.onnx in integers, against the same in floating point"
    columns = ("", "as timed", "without fusions")
    found = outcome.integers
    if found is None:
        return Table(title, columns, ())
    sides = (found.timed, found.unfused)
    rows = (
        ("largest difference to the largest output", *(quantity_text(d.max_rel, "fraction") for d in sides)),
        ("cosine", *(UNKNOWN if not is_known(d.cosine) else f"{d.cosine:.6f}" for d in sides)),
        ("same largest class", *(quantity_text(d.top1_agreement, "fraction") for d in sides)),
        ("samples", *(UNKNOWN if d.count is None else str(d.count) for d in sides)),
    )
    return Table(title, columns, rows)


def _layers(outcome: Outcome) -> Table:
    changes = outcome.best.layers if outcome.best else ()
    rows = tuple(
        (
            change.name,
            str(change.before),
            str(change.after),
            f"{100 * (1 - change.after / change.before):.0f} %" if change.before else UNKNOWN,
            count_text(change.parameters_before),
            count_text(change.parameters_after),
        )
        for change in changes
    )
    return Table("layers", ("layer", "units", "kept", "removed", "parameters", "after"), rows)


def _sensitivity(outcome: Outcome) -> Table:
    metric = outcome.constraint.metric if outcome.constraint else ""
    rows = tuple(
        (knobs_text({reading.knob: reading.value}), metric_text(metric, reading.metric))
        for reading in outcome.sensitivity
    )
    return Table("untrained, with one knob moved", ("knob", metric or "metric"), rows)


def _trials(outcome: Outcome) -> Table:
    metric = outcome.constraint.metric if outcome.constraint else ""
    unit = outcome.objective.unit if outcome.objective else ""
    rows = tuple(
        (
            str(trial.number) + (" *" if outcome.best and trial.number == outcome.best.trial else ""),
            knobs_text(trial.knobs),
            trial.status,
            metric_text(metric, trial.metric),
            quantity_text(trial.objective, unit),
            quantity_text(trial.ratio, "x"),
            f"{trial.probability:.2f}" if is_known(trial.probability) else UNKNOWN,
            _cost(trial.training_cost),
        )
        for trial in outcome.trials
    )
    objective = (outcome.objective.name if outcome.objective else "") or "objective"
    columns = ("trial", "knobs", "status", metric or "metric", objective, "ratio", "P(met)", "training")
    return Table("trials (* ships)", columns, rows)


def _failures(outcome: Outcome) -> Table:
    rows = tuple((str(trial.number), trial.reason) for trial in outcome.trials if trial.status == "failed")
    return Table("trials that failed", ("trial", "because"), rows)


def _cost(cost: TrainingCost | None) -> str:
    """In multiples of training the reference where it was trained here, else in MACs."""
    if cost is None:
        return UNKNOWN
    if is_known(cost.references):
        return quantity_text(cost.references, "x")
    return f"{count_text(cost.training_macs)} MACs"


def _gates(outcome: Outcome) -> Table:
    words = {True: "yes", False: "NO", None: "not judged"}
    rows = tuple(
        (
            gate.text,
            quantity_text(gate.value, gate.unit),
            quantity_text(gate.limit, gate.unit),
            words[gate.met] + (f": {gate.reason}" if gate.reason else ", within noise" if gate.within_noise else ""),
        )
        for gate in outcome.gates
    )
    return Table("gates", ("gate", "value", "limit", "met"), rows)


def _artifacts(outcome: Outcome) -> Table:
    rows = tuple((file.path, bytes_text(file.bytes), file.sha256[:12]) for file in outcome.artifacts)
    return Table("artifacts", ("file", "size", "sha256"), rows)
