"""The front of a search between objective and metric: files, the test split, one measurement of all together."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from condensa_core.bench import Ratio
from condensa_core.flow.carrying import float_path
from condensa_core.flow.judged_file import judged_file
from condensa_core.flow.objective import REFERENCE, Gain, Objective
from condensa_core.flow.trial import FILE, PACKED, WEIGHTS, Judged, trial_folder
from condensa_core.flow.trial_files import require_as_left
from condensa_core.flow.workbench import Workbench
from condensa_core.progress import Advanced, Listener, PhaseEnded, PhaseStarted
from condensa_core.report import Figure, FrontMember, RatioInterval
from condensa_core.run_directory import RunDirectory
from condensa_core.search import Confidence, Observation, Recommendation, point_key
from condensa_core.search.front import non_dominated
from condensa_core.workload import evaluate

FOLDER: Final = "front"
CHART: Final = "front.svg"
SECONDS_EACH: Final = 4.0
MOST_SECONDS: Final = 60.0
ROUNDS: Final = 100


def front_of(
    bench: Workbench,
    directory: RunDirectory,
    objective: Objective,
    reference: Judged,
    found: Recommendation,
    trials: Mapping[int, Observation],
    listener: Listener,
) -> tuple[FrontMember, ...]:
    """The trials on the front, their files copied to front/NNN/, from the best objective to the best metric.

    Where the objective is measured, all trials that hold the bound are measured again, in turns with the reference in
    one comparison, and the front is of these figures: the timings that the search saw are hours apart, and a trial must
    not be lost or kept by an error of one of them. The test split is read for each member, and chooses none.
    """
    margins = _margins(bench, reference, found, trials)
    if not margins:
        return ()
    listener(PhaseStarted("front", detail=f"{len(margins)} trials that hold the bound"))
    for number in margins:
        require_as_left(trial_folder(directory.path, number), trials[number].details["files"])
    gains = _gains(objective, reference, directory.path, {number: trials[number] for number in margins})
    numbers = _undominated(gains, margins)
    if (directory.path / FOLDER).is_dir():  # of a conclusion that was cut short, and may have measured another front
        shutil.rmtree(directory.path / FOLDER)
    rows = []
    for done, number in enumerate(numbers, 1):
        file = _copied(bench, directory, number, trials[number])
        rows.append(_member(bench, number, trials[number], file, gains[number]))
        listener(Advanced("front", done))
    listener(PhaseEnded("front", f"{len(rows)} compromises in {FOLDER}/"))
    return tuple(rows)


def _copied(bench: Workbench, directory: RunDirectory, number: int, trial: Observation) -> Path:
    """The trial's files under front/; the one that was judged."""
    source, folder = trial_folder(directory.path, number), f"{FOLDER}/{number:03d}"
    plain = FILE if trial.details.get("integers") is None else float_path(Path(FILE)).name
    for name in dict.fromkeys((FILE, plain, WEIGHTS, *([PACKED] if bench.packs else []))):
        with directory.replacing(f"{folder}/{name}") as path:
            shutil.copyfile(source / name, path)
    return directory.path / folder / FILE


def _margins(
    bench: Workbench, reference: Judged, found: Recommendation, trials: Mapping[int, Observation]
) -> dict[int, float]:
    """How far the metric of each trial that holds the bound with confidence lies on its good side."""
    recipe, score = bench.recipe, reference.val.scores[bench.recipe.constraint.metric]
    level, sign = recipe.constraint.limit(score.value), 1 if score.better == "higher" else -1
    confidence = Confidence(recipe.search.return_.probability, recipe.search.return_.clear_sd)
    margins = {}
    for number, trial in trials.items():
        if trial.status != "ok" or trial.metric is None:
            continue
        margin, probability = sign * (trial.metric - level), found.probabilities.get(point_key(trial.point), 0.0)
        if confidence.holds(margin, trial.sd or 0.0, probability):
            margins[number] = margin
    return margins


def _gains(objective: Objective, reference: Judged, folder: Path, trials: Mapping[int, Observation]) -> dict[int, Gain]:
    """What the trials gain, by number."""
    if not objective.measured:  # what was counted stands
        return {n: Gain(o.objective or 0.0, Ratio(**o.details["ratio"])) for n, o in trials.items()}
    files = {str(number): trial_folder(folder, number) / FILE for number in trials}
    seconds = min(MOST_SECONDS, SECONDS_EACH * (1 + len(files)))
    comparison = objective.time({REFERENCE: reference.file.path, **files}, seconds=seconds, rounds=ROUNDS)
    return {number: objective.read(comparison, str(number)) for number in trials}


def _undominated(gains: Mapping[int, Gain], margins: Mapping[int, float]) -> tuple[int, ...]:
    """The trials that are faster or smaller than the reference and that no other beats in both, best gain first."""
    better = [number for number, gain in gains.items() if gain.ratio.value > 1]
    if not better:
        return ()
    kept = non_dominated(np.array([(gains[n].ratio.value, margins[n]) for n in better]))
    return tuple(sorted((n for n, keep in zip(better, kept, strict=True) if keep), key=lambda n: -gains[n].ratio.value))


def _member(bench: Workbench, number: int, trial: Observation, file: Path, gain: Gain) -> FrontMember:
    name = bench.recipe.constraint.metric
    metrics = {"val": {name: _figure(trial.details["val"][name])}}
    if bench.splits.test is not None:
        score = evaluate(judged_file(file), bench.splits.test, [bench.metrics[name]]).scores[name]
        metrics["test"] = {name: Figure(score.value, score.stderr, score.count)}
    return FrontMember(
        trial=number,
        folder=f"{FOLDER}/{number:03d}",
        bytes=file.stat().st_size,
        sha256=trial.details["sha256"],
        knobs=dict(trial.point),
        metrics=metrics,
        objective=gain.value,
        ratio=RatioInterval(gain.ratio.value, gain.ratio.low, gain.ratio.high),
    )


def _figure(score: Mapping[str, float]) -> Figure:
    return Figure(score["value"], score["stderr"], int(score["count"]))
