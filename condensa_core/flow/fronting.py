"""The front of a search between objective and metric: files, the test split, one measurement of all together."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from condensa_core.bench import Ratio
from condensa_core.errors import RunFailed
from condensa_core.export import OnnxModel
from condensa_core.flow.carrying import float_path
from condensa_core.flow.objective import REFERENCE, Gain, Objective
from condensa_core.flow.trial import FILE, PACKED, WEIGHTS, Judged, trial_folder
from condensa_core.flow.workbench import Workbench
from condensa_core.progress import Advanced, Listener, PhaseEnded, PhaseStarted
from condensa_core.report import Figure, FrontMember, RatioInterval
from condensa_core.run_directory import RunDirectory, file_sha256
from condensa_core.search import Observation, Recommendation, point_key
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

    Those of measured objectives are measured again, all in turns with the reference in one comparison: trials hours
    apart would compare no better than the machine stayed the same. The test split is read for each of them, and
    chooses none.
    """
    wanted = [point_key(point) for point in found.front]
    members = {n: o for key in wanted for n, o in trials.items() if point_key(o.point) == key}
    if not members:
        return ()
    listener(PhaseStarted("front", total=len(members), detail=f"{len(members)} trials"))
    files = {number: _copied(bench, directory, number, o) for number, o in members.items()}
    gains = _gains(objective, reference, files, members)
    rows = []
    for done, (number, o) in enumerate(members.items(), 1):
        rows.append(_member(bench, number, o, files[number], gains[number]))
        listener(Advanced("front", done))
    listener(PhaseEnded("front", f"{len(rows)} compromises in {FOLDER}/"))
    return tuple(sorted(rows, key=lambda member: -(member.ratio.value or 0.0) if member.ratio else 0.0))


def _copied(bench: Workbench, directory: RunDirectory, number: int, trial: Observation) -> Path:
    """The trial's files under front/; the one that was judged."""
    source, folder = trial_folder(directory.path, number), f"{FOLDER}/{number:03d}"
    plain = FILE if trial.details.get("integers") is None else float_path(Path(FILE)).name
    for name in dict.fromkeys((FILE, plain, WEIGHTS, *([PACKED] if bench.packs else []))):
        with directory.replacing(f"{folder}/{name}") as path:
            shutil.copyfile(source / name, path)
    judged = directory.path / folder / FILE
    if file_sha256(judged) != trial.details["sha256"]:
        raise RunFailed(f"{source / FILE} is no longer the file that was judged")
    return judged


def _gains(
    objective: Objective, reference: Judged, files: Mapping[int, Path], trials: Mapping[int, Observation]
) -> dict[int, Gain]:
    if not objective.measured:  # what was counted stands
        return {n: Gain(o.objective or 0.0, Ratio(**o.details["ratio"])) for n, o in trials.items()}
    seconds = min(MOST_SECONDS, SECONDS_EACH * (1 + len(files)))
    named = {REFERENCE: reference.file.path} | {str(number): path for number, path in files.items()}
    comparison = objective.time(named, seconds=seconds, rounds=ROUNDS)
    return {number: objective.read(comparison, str(number)) for number in files}


def _member(bench: Workbench, number: int, trial: Observation, file: Path, gain: Gain) -> FrontMember:
    name = bench.recipe.constraint.metric
    metrics = {"val": {name: _figure(trial.details["val"][name])}}
    if bench.splits.test is not None:
        score = evaluate(OnnxModel(file), bench.splits.test, [bench.metrics[name]]).scores[name]
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
