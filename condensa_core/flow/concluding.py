"""From the search's recommendation to the verdict: artifacts, the test split read once, gates, the outcome."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file
from torch import nn

from condensa_core.bench import describe_machine
from condensa_core.export import OnnxModel, check_parity, save_pt2
from condensa_core.flow.candidate import cut_model, finished, parameters_by_layer
from condensa_core.flow.carrying import float_path
from condensa_core.flow.comparing import beside_bisection
from condensa_core.flow.fronting import CHART as FRONT_CHART
from condensa_core.flow.fronting import front_of
from condensa_core.flow.gating import BEST, FLOAT, Timer, judged_gates
from condensa_core.flow.judged_file import judged_file
from condensa_core.flow.model_input import model_inputs
from condensa_core.flow.noise import distance_stderr, doubtful_gain
from condensa_core.flow.objective import REFERENCE, Gain, Objective
from condensa_core.flow.parallel import beside_notes
from condensa_core.flow.scheme_notes import scheme_notes
from condensa_core.flow.sensitivity import readings_of
from condensa_core.flow.shipped_alike import PROGRAM, require_alike
from condensa_core.flow.shipping_engine import EngineYard, artifact_of
from condensa_core.flow.short_runs import short_runs
from condensa_core.flow.sparing import sparing
from condensa_core.flow.splitting import split_as
from condensa_core.flow.targets import skipped_targets, timed_targets
from condensa_core.flow.training_cost import costs_by_trial, reference_training_macs
from condensa_core.flow.trial import FILE, KEEP, PACKED, WEIGHTS, Judged, read_structure, trial_folder
from condensa_core.flow.trial_files import require_as_left
from condensa_core.flow.warm_starting import warm_starts
from condensa_core.flow.workbench import Workbench
from condensa_core.graph import count_macs
from condensa_core.plain_file import read_plain_text
from condensa_core.progress import Listener, PhaseEnded, PhaseStarted
from condensa_core.recipe import Recipe, engine_target, resolved_yaml
from condensa_core.report import (
    Artifact,
    BestResult,
    BoundOnTest,
    ConstraintResult,
    Difference,
    DirectResult,
    Figure,
    IntegersResult,
    KnobReading,
    LayerChange,
    ObjectiveResult,
    Outcome,
    RatioInterval,
    ReferenceResult,
    SearchResult,
    Sizes,
    TrainingCost,
    TrialResult,
    front_chart,
    html_report,
    junit_xml,
    pictures_of,
)
from condensa_core.report.ending import RESULT
from condensa_core.run_directory import RunDirectory, file_sha256, versions
from condensa_core.search import AskTell, Journal, Observation, Recommendation, point_key
from condensa_core.workload import Evaluation, agreement, evaluate, task_named

Status = Literal["ok", "infeasible", "gate-failed", "failed"]

REPORT = "report.html"
_MENDED = "run.log has the traceback of every attempt; resume repeats no finished trial: mend it, and start a new run"


def conclude(
    bench: Workbench,
    directory: RunDirectory,
    objective: Objective,
    reference: Judged,
    search: AskTell,
    found: Recommendation,
    journal: Journal,
    listener: Listener,
    begun: float,
    cache_dir: Path | None = None,
) -> Outcome:
    """Write `best/`, judge it on `test`, measure it again, check the gates, write result.json and reports.

    An engine that cannot be built loses nothing of it: the status is then `failed`, and whoever resumes tries again.
    """
    listener(PhaseStarted("conclude", detail="artifacts, test split, final measurement"))
    recipe, numbers, costs = bench.recipe, _numbers(journal), costs_by_trial(journal.entries)
    short = short_runs(directory.path, recipe)
    reasons = [found.reason] if not found.feasible else []
    outcome = Outcome(
        status="infeasible",
        name=recipe.name,
        run_dir=str(directory.path),
        recipe_hash=recipe_hash(recipe),
        seed=recipe.seed,
        counted=task_named(recipe.task).counts,
        reference=_reference_result(bench, reference, {"val": reference.val}, None, {}),
        objective=ObjectiveResult(
            f"{objective.direction} {objective.name}",
            objective.name,
            objective.direction,
            objective.where,
            objective.unit,
        ),
        trials=_trial_rows(bench, search.observations, numbers, costs, reference, found),
        trainings_used=_trainings(journal),
        training_cost=sum(costs.values(), start=short.training_cost if short else TrainingCost()),
        search=beside_bisection(
            replace(_search_result(recipe, found), warm_starts=warm_starts(journal), short_runs=short),
            search,
            listener,
        ),
        machine=_machine(),
        notes=_known_before(bench),
        versions={name: version for name, version in versions().items() if version is not None},
    )
    best = found.observation
    if best is None and search.observations:
        outcome = replace(outcome, status="failed")  # not one trial gave a metric
        reasons.append(_MENDED)
    if best is not None:
        number = numbers[point_key(best.point)]
        require_as_left(trial_folder(directory.path, number), best.details["files"])
        shipped = rebuilt(bench, trial_folder(directory.path, number))
        artifacts = _artifacts(bench, directory, shipped, trial_folder(directory.path, number), best)
        file = directory.path / "best" / FILE
        judged = {"val": reference.val}, {"val": _evaluated(bench, file, "val")}
        if bench.splits.test is not None:  # nothing of it steers the search
            judged[0]["test"] = _evaluated(bench, reference.file.path, "test")
            judged[1]["test"] = _evaluated(bench, file, "test")
        files = {REFERENCE: reference.file.path, BEST: file}
        if best.details.get("integers") is not None:
            files[FLOAT] = float_path(file)
        trial = file if "torch" in recipe.output.export else trial_folder(directory.path, number) / FILE
        timer = Timer(bench, objective, files, trial, file.with_name(PACKED), shipped, listener)
        gain, base, timings = timer.objective(shipped, reference)
        yard = EngineYard(recipe, cache_dir, listener) if "engine" in recipe.output.export else None
        engine = yard.ship(directory, file, timed=_engine_timed(recipe)) if yard else None
        gates = judged_gates(bench, judged, timer, shipped, reference, yard, engine)
        constraint = _constraint(bench, reference, judged)
        status: Status = "infeasible"
        if found.feasible and not constraint.met:
            reasons.append("the file that ships breaks the bound, which it held as a trial")
        if found.feasible and constraint.met:
            failing = [gate for gate in gates if gate.met is False]
            status = "gate-failed" if failing else "ok"
            reasons += [
                f"the gate {gate.text} does not hold" + (", by less than its noise" if gate.within_noise else "")
                for gate in failing
            ]
        if engine is not None and engine.problem and not engine.skipped:
            status = "failed"
            reasons.append(f"no engine: {engine.problem}; all else is done, and condensa resume builds it again")
        outcome = replace(
            outcome,
            status=status,
            reference=_reference_result(bench, reference, judged[0], base, timings.get(REFERENCE, {})),
            best=_best_result(bench, number, reference, best, shipped, file, judged, gain, timings.get(BEST, {})),
            direct=DirectResult({"val": {recipe.constraint.metric: _figure(best.details["direct_val"])}}),
            constraint=constraint,
            gates=gates,
            artifacts=artifacts + artifact_of(directory, engine),
            engine=engine,
            inputs=model_inputs(OnnxModel(file).input_names, bench.example, bench.splits.train),
            sizes=_sizes(reference, file, best),
            parity=best.details["parity"],
            integers=_integers(best, timer),
            notes=(*_judged_otherwise(constraint, best), *_notes(bench, objective, gain, best, search.observations)),
        )
    outcome = replace(outcome, sensitivity=tuple(_knob_readings(journal)))
    if recipe.search.method == "pareto":
        trials = {numbers[point_key(o.point)]: o for o in search.observations}
        front = front_of(bench, directory, objective, reference, found, trials, listener)
        outcome = replace(outcome, front=front)
        if front:
            directory.write_text(FRONT_CHART, front_chart(outcome))
    outcome = replace(outcome, reasons=tuple(reasons), timings_s={"this_process": time.monotonic() - begun})
    directory.write_text("junit.xml", junit_xml(outcome))
    if recipe.output.report == "html":
        with sparing(f"{REPORT} could not be written", listener):
            directory.write_text(REPORT, html_report(outcome, pictures_of(directory.path)))
    directory.write_json(RESULT, outcome.to_json())
    listener(PhaseEnded("conclude", outcome.status))
    return outcome


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of the recipe with all defaults written out."""
    return hashlib.sha256(resolved_yaml(recipe).encode()).hexdigest()


def rebuilt(bench: Workbench, folder: Path) -> nn.Module:
    """The model that a finished trial shipped, from its files."""
    record = json.loads(read_plain_text(folder / KEEP))
    structure = read_structure(record)
    model = finished(bench, split_as(bench, cut_model(bench, bench.model, structure), record["ranks"]), structure)
    model.load_state_dict(load_file(folder / WEIGHTS))  # float16 widens exactly
    return model


def _artifacts(
    bench: Workbench, directory: RunDirectory, shipped: nn.Module, trial: Path, best: Observation
) -> tuple[Artifact, ...]:
    """Copies of the trial's files under best/, and the model as a program that needs no user code.

    model.onnx is the very file that was judged; the one in floating point computes what the rebuilt model computes, and
    so do the other forms, or what model.onnx computes.
    """
    plain = FILE if best.details.get("integers") is None else float_path(Path(FILE)).name
    names = []
    for name in dict.fromkeys((FILE, plain, WEIGHTS, *([PACKED] if bench.packs else []))):
        with directory.replacing(f"best/{name}") as path:
            shutil.copyfile(trial / name, path)
        names.append(name)
    check_parity(directory.path / "best" / plain, shipped, [bench.example])
    if "torch" in bench.recipe.output.export:
        if (trial / PROGRAM).is_file():  # what was timed is what ships
            with directory.replacing(f"best/{PROGRAM}") as path:
                shutil.copyfile(trial / PROGRAM, path)
        else:
            save_pt2(shipped, bench.example, directory.path / "best" / PROGRAM)
        names.append(PROGRAM)
    inputs = next(iter(bench.splits.val))[0]
    require_alike(directory.path / "best", names, shipped, inputs, integers=plain != FILE)
    paths = [directory.path / "best" / name for name in names]
    return tuple(Artifact(f"best/{p.name}", p.stat().st_size, file_sha256(p)) for p in paths)


def _evaluated(bench: Workbench, file: Path, split: str) -> Evaluation:
    return evaluate(judged_file(file), getattr(bench.splits, split), list(bench.metrics.values()))


def _engine_timed(recipe: Recipe) -> bool:
    """Whether the target of the engine is one that something was timed on."""
    name = engine_target(recipe.targets)
    return name in timed_targets(recipe) and name not in skipped_targets(recipe)


def _constraint(
    bench: Workbench,
    reference: Judged,
    judged: tuple[dict[str, Evaluation], dict[str, Evaluation]],
) -> ConstraintResult:
    """The bound on `val`, which decides, and on `test`, which only tells; of the file that ships, judged once more."""
    bound = bench.recipe.constraint
    base = reference.val.scores[bound.metric].value
    value = judged[1]["val"].scores[bound.metric].value
    test = None
    if "test" in judged[0]:
        of_test = judged[0]["test"], judged[1]["test"]
        was, now = (evaluation.scores[bound.metric].value for evaluation in of_test)
        test = BoundOnTest(bound.limit(was), now, bound.met(now, was), distance_stderr(bound, *of_test))
    return ConstraintResult(
        text=str(bound),
        metric=bound.metric,
        limit=bound.limit(base),
        value=value,
        met=bound.met(value, base),
        stderr=distance_stderr(bound, *(j["val"] for j in judged)),
        test=test,
    )


def _judged_otherwise(constraint: ConstraintResult, best: Observation) -> list[str]:
    """That the file scores other than as a trial, on another machine perhaps; nothing where it scores the same."""
    assert constraint.value is not None and best.metric is not None
    if math.isclose(constraint.value, best.metric, rel_tol=1e-6):
        return []
    found = f"{constraint.value:.6g} on val now, and {best.metric:.6g} when it was judged as a trial"
    return [f"the file that ships gives {constraint.metric} {found}; the bound is judged by what it gives now"]


def _reference_result(
    bench: Workbench,
    reference: Judged,
    judged: Mapping[str, Evaluation],
    objective: float | None,
    timing: Mapping[str, Any],
) -> ReferenceResult:
    return ReferenceResult(
        metrics=_split_figures(judged),
        objective=objective,
        measurement=timing,
        bytes=reference.file.size_bytes,
        macs=bench.graph.macs,
        parameters=sum(p.numel() for p in reference.model.parameters()),
        training_macs=reference_training_macs(bench),
    )


def _best_result(
    bench: Workbench,
    number: int,
    reference: Judged,
    best: Observation,
    shipped: nn.Module,
    file: Path,
    judged: tuple[dict[str, Evaluation], dict[str, Evaluation]],
    gain: Gain,
    timing: Mapping[str, Any],
) -> BestResult:
    agreements = {split: agreement(judged[0][split], judged[1][split]) for split in judged[1]}
    return BestResult(
        trial=number,
        knobs=dict(best.point),
        metrics=_split_figures(judged[1]),
        agreement={split: Figure(s.value, s.stderr, s.count) for split, s in agreements.items()},
        objective=gain.value,
        ratio=RatioInterval(gain.ratio.value, gain.ratio.low, gain.ratio.high),
        searched=RatioInterval(*(best.details["ratio"][end] for end in ("value", "low", "high"))),
        measurement=timing,
        bytes=file.stat().st_size,
        macs=count_macs(shipped, bench.example),
        parameters=sum(p.numel() for p in shipped.parameters()),
        layers=_layer_changes(bench, reference, best, shipped),
    )


def _layer_changes(
    bench: Workbench, reference: Judged, best: Observation, shipped: nn.Module
) -> tuple[LayerChange, ...]:
    names = [layer.name for layer in bench.graph.layers]
    before, after = parameters_by_layer(reference.model, names), parameters_by_layer(shipped, names)
    kept: Mapping[str, int] = best.details["kept"]
    units: dict[str, tuple[int, int]] = {}
    for family in bench.graph.families:
        for layer in family.layers:
            was, now = units.get(layer, (0, 0))
            units[layer] = was + family.size, now + kept.get(family.name, family.size)
    return tuple(LayerChange(name, *units[name], before[name], after.get(name)) for name in names if name in units)


def _trial_rows(
    bench: Workbench,
    observations: Sequence[Observation],
    numbers: Mapping[str, int],
    costs: Mapping[int, TrainingCost],
    reference: Judged,
    found: Recommendation,
) -> tuple[TrialResult, ...]:
    bound = bench.recipe.constraint
    base = reference.val.scores[bound.metric].value
    rows = []
    for o in observations:
        rows.append(
            TrialResult(
                number=numbers[point_key(o.point)],
                knobs=dict(o.point),
                status=o.status,
                metric=o.metric,
                stderr=o.sd,
                objective=o.objective,
                ratio=o.details["ratio"]["value"] if o.status == "ok" else None,
                feasible=None if o.metric is None else bound.met(o.metric, base),
                probability=found.probabilities.get(point_key(o.point)),
                reason=o.failure,
                training_cost=costs.get(numbers[point_key(o.point)]),
            )
        )
    return tuple(sorted(rows, key=lambda row: row.number))


def _numbers(journal: Journal) -> dict[str, int]:
    """Trial number by point."""
    ended = [entry.payload for entry in journal.entries if entry.kind == "trial-ended"]
    return {point_key(payload["point"]): int(payload["number"]) for payload in ended}


def _knob_readings(journal: Journal) -> Iterator[KnobReading]:
    """What the pass over single knobs read, where several were searched."""
    record = journal.last("sensitivity")
    for knob, pairs in (readings_of(record) if record else {}).items():
        yield from (KnobReading(knob, value, metric) for value, metric in pairs)


def _trainings(journal: Journal) -> int:
    """Training runs paid for, failed attempts included."""
    return sum(entry.kind in ("trial-ended", "attempt-failed") for entry in journal.entries)


def _sizes(reference: Judged, file: Path, best: Observation) -> Sizes:
    dense = 32 * sum(p.numel() for p in reference.model.parameters())
    return Sizes(
        file.stat().st_size,
        best.details["packed_bytes"],
        int(best.details["stored_bits"]),
        dense / best.details["counted_bits"],
    )


def _integers(best: Observation, timer: Timer) -> IntegersResult | None:
    record = best.details.get("integers")
    if record is None:
        return None
    figures = [f.name for f in fields(Difference)]
    timed, unfused = (Difference(**{f: record[key][f] for f in figures}) for key in ("parity", "plain"))
    return IntegersResult(
        tuple(record["layers"]),
        tuple(record["floating"]),
        record["observer"],
        record["target"],
        record["reduce_range"],
        timed,
        unfused,
        timer.speed_of_integers(),
    )


def _search_result(recipe: Recipe, found: Recommendation) -> SearchResult:
    return SearchResult(recipe.search.method, _bracket(found), found.probability, _search_reason(found))


def _bracket(found: Recommendation) -> tuple[float | None, float | None] | None:
    holds, fails = (float(v) if isinstance(v, int | float) else None for v in found.bracket)
    return None if holds is None and fails is None else (holds, fails)


def _search_reason(found: Recommendation) -> str:
    at = found.crossing
    level = f"the bound is met up to about {at:.4g}" if isinstance(at, int | float) else ""
    return "; ".join(text for text in (found.reason, level, found.stopped) if text)


def _machine() -> dict[str, Any]:
    machine = describe_machine()
    return {**machine.to_json(), "fingerprint": machine.fingerprint}


def _known_before(bench: Workbench) -> tuple[str, ...]:
    """Rules left out, samples in more than one split, and splits that are never read the same."""
    left_out = (f"left out: {text}" for text in bench.recipe.left_out_texts)
    return (*left_out, *map(str, bench.overlaps), *bench.restless)


def _notes(
    bench: Workbench, objective: Objective, gain: Gain, best: Observation, trials: Sequence[Observation]
) -> list[str]:
    """What a reader would want to be told unasked."""
    notes = [*_known_before(bench), *beside_notes(trials)]
    if objective.measured and (doubt := doubtful_gain(gain.ratio)):
        notes.append(doubt)
    return notes + scheme_notes(bench.plan, best.point, bench.recipe.compress.metric)


def _split_figures(judged: Mapping[str, Evaluation]) -> dict[str, dict[str, Figure]]:
    return {
        split: {name: Figure(s.value, s.stderr, s.count) for name, s in evaluation.scores.items()}
        for split, evaluation in judged.items()
    }


def _figure(score: Mapping[str, Any]) -> Figure:
    return Figure(score["value"], score["stderr"], score["count"])
