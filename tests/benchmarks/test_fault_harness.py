"""The harness of benchmarks/faults sees what it is there for: broken on purpose, every promise is told broken."""

import json
from collections import Counter
from pathlib import Path

import cases
import pytest
import record
from ground import Ground, judged
from moments import phase_of
from scene import contents, end_of, finished_trials

from condensa_core.search import Journal, Observation

COUNTS = dict.fromkeys(
    ("kill", "kill-of-fork", "chain", "kill-filters", "kill-pareto", "kill-at-call", "kill-at-end", "signal",
     "disk-full", "file-limit", "read-only", "error", "cache", "parallel", "parallel-disk", "commands"), 7
)  # fmt: skip


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """A run directory as one is left at the end, with two finished trials; results are plain JSON here."""
    monkeypatch.setattr("scene.read_outcome", lambda path: None)
    directory = tmp_path / "run"
    (directory / "best").mkdir(parents=True)
    (directory / "best" / "model.onnx").write_bytes(b"weights")
    (directory / "result.json").write_text(json.dumps({"value": 1, "timings_s": 2.0}))
    lines = [f"TrialStarted(number={n}, budget=2)\nTrialEnded(number={n}, status='ok')" for n in (0, 1)]
    (directory / "run.log").write_text("\n".join(lines))
    with Journal(directory / "trials.jsonl", "fingerprint") as journal:
        for number in (0, 1):
            _end(journal, number)
    return directory


def _end(journal, number):
    observation = Observation.failed({"s": 0.1 * number}, "so that it needs no numbers", {})
    trial = {"number": number, "attempt": 0, "point": {"s": 0.1 * number}}
    journal.append("trial-ended", {**trial, "observation": observation.to_record(), "wall_s": 1.0, "waited_s": 1.0})


def repeat(directory):
    with Journal(directory / "trials.jsonl", "fingerprint") as journal:
        _end(journal, 1)


def lose(directory):
    text = (directory / "trials.jsonl").read_text().splitlines(keepends=True)
    (directory / "trials.jsonl").write_text("".join(text[:-1]))


def begin_again(directory):
    with (directory / "run.log").open("a") as file:
        file.write("\nTrialStarted(number=0, budget=2)")


def change_a_byte(directory):
    (directory / "best" / "model.onnx").write_bytes(b"Weights")


def change_the_result(directory):
    (directory / "result.json").write_text(json.dumps({"value": 2, "timings_s": 2.0}))


def leave_something(directory):
    (directory / "best" / ".partial-1-model.onnx").write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "seen"),
    [
        (repeat, {"a finished trial is repeated", "the result"}),
        (lose, {"a finished trial is lost", "the result"}),
        (begin_again, {"a finished trial is repeated"}),
        (change_a_byte, {"the result"}),
        (change_the_result, {"the result"}),
        (leave_something, {"the result"}),
    ],
)
def test_a_run_that_was_tampered_with_breaks_a_promise(ended, harm, seen):
    kept, expected = finished_trials(ended), end_of(ended)
    case = {"kind": "kill", "code": -9, "by": "resume", "resumed": 0, "older_intact": True}
    assert record.broken({**case, **judged(ended, kept, expected)}) == []

    harm(ended)

    assert set(record.broken({**case, **judged(ended, kept, expected)})) == seen


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"other")])
def test_an_older_file_that_is_gone_or_another_is_seen(tmp_path, harm):
    (tmp_path / "older" / "runs").mkdir(parents=True)
    (tmp_path / "older" / "runs" / "model.onnx").write_bytes(b"older")
    ground = Ground(tmp_path)
    ground.older, ground.before = tmp_path / "older", contents(tmp_path / "older")
    scene = ground.scene()
    assert ground.older_intact(scene)

    harm(scene.disk / "runs" / "model.onnx")

    assert not ground.older_intact(scene)


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        ({"code": 70}, "the exit code"),
        ({"code": 4, "kind": "disk-full", "told": False}, "what it told"),
        ({"resumed": 4}, "the end of the resumed run"),
        ({"left_behind": 1}, "processes are left behind"),
        ({"kind": "signals", "code": 130, "signals": 2, "stopped_s": 60.0}, "the second signal"),
    ],
)
def test_what_a_case_came_to_is_held_against_every_promise(changed, seen):
    whole = {"kind": "kill", "code": -9, "by": "resume", "resumed": 0, "same": True, "older_intact": True}

    assert record.broken(whole) == []
    assert record.broken({**whole, **changed}) == [seen]


def test_every_case_has_a_name_of_its_own_and_a_kind_of_the_table():
    made = list(cases.all_cases(1, COUNTS))

    assert max(Counter(case.name for case in made).values()) == 1
    assert {case.kind for case in made} - {"engine-fails", "engine-killed"} == set(record.KINDS) - {
        "engine-fails", "engine-killed"
    }  # fmt: skip


def test_a_kill_falls_into_the_phase_that_its_own_process_had_begun(tmp_path):
    first = "t condensa 0.1.0, process 1, recipe x\nPhaseStarted(phase='profile', total=3)\nTrialStarted(number=0)\n"
    log = tmp_path / "run.log"

    assert phase_of(None) == phase_of(tmp_path) == "start-up"
    log.write_text(first)
    assert phase_of(tmp_path) == "trials"
    log.write_text(first + "t condensa 0.1.0, process 2, recipe x\n")
    assert phase_of(tmp_path) == "start-up"
    log.write_text(log.read_text() + "PhaseStarted(phase='reference', total=4)\n")
    assert phase_of(tmp_path) == "reference"
    log.write_text(log.read_text() + "PhaseStarted(phase='conclude', total=None)\n")
    assert phase_of(tmp_path) == "conclusion"
