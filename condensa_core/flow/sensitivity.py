"""What each knob alone does to the metric of the untrained model: one cheap pass before a search of several knobs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from condensa_core.export import OnnxModel
from condensa_core.flow.candidate import cut_model, finished
from condensa_core.flow.carrying import carry
from condensa_core.flow.effort import training_batches
from condensa_core.flow.judged_file import judged_file
from condensa_core.flow.objective import Objective
from condensa_core.flow.splitting import split
from condensa_core.flow.trial import Judged
from condensa_core.flow.untrained import structure_at
from condensa_core.flow.workbench import Workbench
from condensa_core.learning import recalibrate_batchnorm
from condensa_core.progress import Advanced, Listener, Note, PhaseEnded, PhaseStarted
from condensa_core.report.quantities import knobs_text, metric_text
from condensa_core.search import Knob, Point, Space, Value
from condensa_core.workload import Batches, evaluate
from condensa_core.workload.batches import StreamedBatches

# Untrained, most models are ruined well before their strongest setting: readings lie closer at the mild end.
STRENGTHS: Final = (0.1, 0.22, 0.45, 0.8)
MOST_CHOICES: Final = 4
SAMPLES: Final = 2000  # of `val`: 1 % of a metric, where the losses that matter here are tens

Readings = Mapping[str, Sequence[tuple[Value, float]]]


def sensitivity(
    bench: Workbench, space: Space, objective: Objective, reference: Judged, listener: Listener
) -> dict[str, Any]:
    """The metric of untrained candidates with one knob moved and the others at their mildest, as JSON values.

    `readings` has (value, metric) pairs by knob, in the metric of the constraint, moved by as much as the reference
    scores otherwise on the first `samples` of `val`. Candidates are the trained weights after one C step, BatchNorm
    statistics estimated anew; those with layers in integers are judged as such files.
    """
    shown, metric = _first(bench.splits.val, SAMPLES), bench.metrics[bench.recipe.constraint.metric]
    mildest = {knob.name: knob.grid(2)[0] for knob in space.knobs}
    asked = [(knob.name, value) for knob in space.knobs for value in strengths(knob)]
    listener(PhaseStarted("sensitivity", total=len(asked), detail="each knob alone, untrained"))
    here = evaluate(OnnxModel(reference.file.path), shown, [metric]).scores[metric.name].value
    moved = reference.val.scores[metric.name].value - here
    readings: dict[str, list[tuple[Value, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="condensa-sensitivity-") as folder:
        for done, (name, value) in enumerate(asked, 1):
            model = _candidate(bench, {**mildest, name: value}, objective, reference, Path(folder) / "model.onnx")
            found = evaluate(model, shown, [metric], listener).scores[metric.name].value + moved
            if math.isfinite(found):  # a perplexity may not be
                readings.setdefault(name, []).append((value, found))
            listener(Advanced("sensitivity", done, {name: value, f"val_{metric.name}": found}))
    listener(PhaseEnded("sensitivity", f"{len(asked)} untrained candidates"))
    return {
        "samples": shown.count,
        "readings": {name: [list(pair) for pair in pairs] for name, pairs in readings.items()},
    }


def readings_of(record: Mapping[str, Any]) -> Readings:
    """The readings of a record of `sensitivity`."""
    return {name: [(value, metric) for value, metric in pairs] for name, pairs in record["readings"].items()}


def told(record: Mapping[str, Any], metric: str, listener: Listener) -> None:
    """A line for each knob: what its values alone leave of the untrained model's metric."""
    for name, pairs in readings_of(record).items():
        texts = [f"{metric_text(metric, reading)} at {knobs_text({name: value})}" for value, reading in pairs]
        listener(Note(f"untrained, {name} alone: {metric} {', '.join(texts)}"))


def strengths(knob: Knob) -> tuple[Value, ...]:
    """The values of a knob that are tried alone: its choices, or those of some strengths, mild to strong."""
    if knob.choices is not None:
        return knob.grid(max(len(knob.choices), 2))[-MOST_CHOICES:]
    return tuple(dict.fromkeys(knob.value(unit) for unit in STRENGTHS))


def _candidate(bench: Workbench, point: Point, objective: Objective, reference: Judged, path: Path) -> Any:
    """The untrained candidate at a point: a module, or the file where layers compute in integers."""
    structure, model = structure_at(bench, point)
    recalibrate_batchnorm(model, training_batches(bench.recipe, bench.splits))
    observers = bench.plan.observers(dict(point))
    if not observers:
        return model
    small, structure = split(bench, cut_model(bench, model, structure), structure)
    carried = carry(
        bench, small, finished(bench, small, structure), structure, path, reference.file,
        backend=objective.target.backend, observers=observers,
    )  # fmt: skip
    return judged_file(carried.shipped.path)


def _first(batches: Batches, samples: int) -> Batches:
    """The first samples of a split that is not for training, all of it where it has no more."""
    count = min(batches.count, samples)
    return StreamedBatches(batches, "data.val", count, batches.batch, -(-count // batches.batch))
