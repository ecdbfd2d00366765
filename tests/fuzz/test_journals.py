"""A share of the mutated journals, results and checkpoints of benchmarks/fuzz, and what the long run found."""

import json
import random
import time

import pytest
import torch
from commands import judged
from run_mutations import _sealed, mutated_checkpoint, mutated_journal, mutated_json

from condensa_core.errors import CondensaError, ResumeError, UsageError
from condensa_core.learning.checkpoint import Checkpoint, Progress
from condensa_core.learning.saved_state import fits
from condensa_core.report import BestResult, ConstraintResult, Figure, Outcome, TrialResult
from condensa_core.search import Journal, Knob, Observation, Space, read_journal

SHARE_S = 2.0
OBSERVATION = {
    "point": {"s": 0.5},
    "status": "ok",
    "metric": 0.9,
    "sd": 0.01,
    "objective": 3.0,
    "details": {},
    "failure": "",
}
TIMES = {"wall_s": 1.0, "waited_s": 1.0}
RECORDS = [
    (
        "profile",
        {"settings": [[0.0, 1.0], [0.5, 2.0]], "reference": 1.0, "direction": "maximize", "margin": 0.0, "name": "x"},
    ),
    ("trial-started", {"number": 0, "attempt": 0, "point": {"s": 0.5}, "brief": {}}),
    ("attempt-failed", {"number": 0, "attempt": 0, "point": {"s": 0.5}, "failure": "x", "details": {}, **TIMES}),
    ("trial-ended", {"number": 0, "attempt": 1, "point": {"s": 0.5}, "observation": OBSERVATION, **TIMES}),
    ("trials-opened", {"trials": [{"number": 1, "attempt": 0, "point": {"s": 0.2}}]}),
]


def a_share():
    """Seeds until the time is over."""
    until, seed = time.monotonic() + SHARE_S, 0
    while time.monotonic() < until or seed < 50:
        yield random.Random(seed)
        seed += 1


def journal_at(path):
    with Journal(path, "f") as journal:
        for kind, payload in RECORDS:
            journal.append(kind, payload)
    return path.read_bytes()


def test_a_mutated_journal_is_read_or_refused(tmp_path):
    path = tmp_path / "trials.jsonl"
    content = journal_at(path)
    refused = 0

    for draw in a_share():
        path.write_bytes(mutated_journal(content, draw)[1])
        try:
            _, entries = read_journal(path)
            with Journal(path, "f"):
                pass
        except CondensaError:
            refused += 1
            continue
        for entry in entries:
            if entry.kind == "trial-ended":
                Observation.from_record(entry.payload["observation"])

    assert refused > 10


@pytest.mark.parametrize(
    "record",
    [
        3,
        {"kind": "trial-ended"},
        {"kind": "trial-ended", "payload": []},
        {"kind": ["profile"], "payload": {}},
        {"kind": "trial-started", "payload": {"number": "0", "attempt": 0, "point": {}}},
        {"kind": "trial-started", "payload": {"number": 0, "attempt": {}, "point": {}}},
        {"kind": "trial-started", "payload": {"number": 0, "attempt": 0, "point": [1]}},
        {"kind": "trial-ended", "payload": {**RECORDS[3][1], "observation": {**OBSERVATION, "metric": None}}},
        {"kind": "trial-ended", "payload": {**RECORDS[3][1], "observation": {**OBSERVATION, "metric": float("inf")}}},
        {"kind": "trial-ended", "payload": {**RECORDS[3][1], "observation": {**OBSERVATION, "metric": 10**400}}},
        {"kind": "profile", "payload": {**RECORDS[0][1], "settings": [[0.1]]}},
    ],
    ids=lambda record: json.dumps(record)[:40],
)
def test_a_line_that_is_whole_and_means_nothing_is_refused_by_number(tmp_path, record):
    path = tmp_path / "trials.jsonl"
    path.write_bytes(journal_at(path) + _sealed(record))

    with pytest.raises(ResumeError, match=r"trials.jsonl:7: this line is whole, and holds no such record"):
        Journal(path, "f")


def test_a_first_line_that_is_no_header_is_refused(tmp_path):
    (tmp_path / "trials.jsonl").write_bytes(_sealed([1]))

    with pytest.raises(ResumeError, match="not the first line of a journal"):
        read_journal(tmp_path / "trials.jsonl")


@pytest.mark.parametrize("value", ["x", 1.0, 7.5])
def test_a_knob_says_which_values_it_cannot_have(value):
    with pytest.raises(UsageError, match="knob 's' cannot be"):
        Space((Knob("s", range=(0.0, 0.9)),)).encode({"s": value})


def entry(step):
    score = {"value": 0.9, "stderr": 0.01, "count": 10, "better": "higher"}
    return {"step": step, "loss": 0.1, "mu": 0.1, "distance": 0.2, "settled": False, "score": score}


def progress():
    live = {"w": torch.ones(3, 2), "b": torch.zeros(3)}
    weights = {"w": torch.ones(3, 2)}
    spent = {"trained": 3, "inferred": 4, "processor_s": 0.1}
    return Progress(2, 0.1, live, weights, (entry(0), entry(1)), 1, live, weights, weights, spent)


def test_a_mutated_checkpoint_is_of_this_training_or_is_not_gone_on_with(tmp_path):
    path = tmp_path / "lc.safetensors"
    good = progress()
    Checkpoint(path).save(good)
    content = path.read_bytes()
    assert fits(Checkpoint(path).load(), good.live, good.multipliers, 3)
    seen = set()

    for draw in a_share():
        path.write_bytes(mutated_checkpoint(content, draw)[1])
        saved = Checkpoint(path).load()
        fitting = saved is not None and fits(saved, good.live, good.multipliers, 3)
        seen.add(fitting)
        if fitting:
            assert saved.history[saved.best_step]["score"]["value"] is not None
            assert saved.live["w"].shape == (3, 2) and 1 <= saved.step <= 3

    assert seen == {True, False}


def test_a_checkpoint_of_more_steps_than_are_taken_is_not_gone_on_with():
    assert not fits(progress(), progress().live, progress().multipliers, 1)


def test_a_mutated_result_is_shown_or_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    best = BestResult(1, {"s": 0.5}, {"val": {"top1": Figure(0.9, 0.01, 100)}}, objective=3.0, bytes=10)
    trials = (TrialResult(0, {"s": 0.2}, metric=0.9), TrialResult(1, {"s": 0.5}, status="failed", reason="no"))
    outcome = Outcome("ok", "tiny", best=best, trials=trials, constraint=ConstraintResult("top1 at most 2pp below"))
    content = json.dumps(outcome.to_json()).encode()

    for draw in a_share():
        (tmp_path / "result.json").write_bytes(mutated_json(content, draw)[1])
        for arguments in (
            ["report", str(tmp_path)],
            ["report", str(tmp_path), "--json", "--html", str(tmp_path / "x.html")],
        ):
            judged(arguments, allowed=(0, 1, 2, 4))
