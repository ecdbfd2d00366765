"""A runtime that crashes on some candidates: they are failed trials, and the run says so and goes on."""

import hashlib
import json
import traceback
from pathlib import Path

import onnxruntime
import pytest
from own_recipe import own_recipe

from condensa_core import flow
from condensa_core.bench import probe
from condensa_core.errors import MachineError, RunFailed
from condensa_core.progress import TrialEnded
from condensa_core.report import html_report, tables, verdict

CANDIDATES = 6
# It dies of what a file holds, wherever that lies: of the weights of every third candidate.
DEADLY = """
import ctypes
import onnx
from condensa_core.bench import probe
from condensa_core.errors import MachineError, RunFailed

real = probe.open_runner


def open_runner(target, path, feeds):
    shapes = [tuple(weight.dims) for weight in onnx.load(path).graph.initializer]
    if (2, 1) in shapes or (5, 5) in shapes:
        ctypes.string_at(0)  # reads address 0
    return real(target, path, feeds)


probe.open_runner = open_runner
"""


def loads_untried(patch):
    """The list in which each model will stand, by its hash, that this process loads before a child has tried it."""
    untried, tried = [], set[str]()
    probe_file, session = probe.Prober.probe, onnxruntime.InferenceSession

    def noted(self, path, target, batch=None):
        probe_file(self, path, target, batch)
        tried.add(hashlib.sha256(Path(path).read_bytes()).hexdigest())

    def open_session(source, *others, **named):
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        if hashlib.sha256(content).hexdigest() not in tried:
            untried.append(traceback.format_stack(limit=4))
        return session(source, *others, **named)

    patch.setattr(probe.Prober, "probe", noted)
    patch.setattr(onnxruntime, "InferenceSession", open_session)
    return untried


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """(outcome, events, run directory) of a run whose runtime crashes on every third candidate."""
    folder = tmp_path_factory.mktemp("crashing")
    (folder / "deadly_runtime.py").write_text(DEADLY)
    recipe = own_recipe(
        folder,
        knobs={"s": {"range": [0.0, 0.9], "step": 0.15}},
        search={"method": "grid", "trials": CANDIDATES},
        compress={"method": "direct"},
    )
    events = []
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        start = probe._START.replace("from condensa_core", "import deadly_runtime; from condensa_core")
        patch.setattr(probe, "_START", start)
        outcome = flow.run(recipe, out=folder / "runs", cache_dir=folder / "cache", listener=events.append)
    (directory,) = (folder / "runs" / "tiny").iterdir()
    return outcome, events, directory


def test_the_run_completes_with_all_candidates_that_do_not_crash(crashed):
    outcome, events, directory = crashed

    ended = {event.number: event for event in events if isinstance(event, TrialEnded)}
    assert {number: event.status for number, event in ended.items()} == {
        number: "failed" if number % 3 == 2 else "ok" for number in range(CANDIDATES)
    }
    assert outcome.status == "ok" and outcome.best.trial % 3 != 2
    assert (directory / "best" / "model.onnx").is_file()


def test_whatever_tells_of_the_run_says_how_many_failed_and_of_what(crashed):
    outcome, events, directory = crashed
    reasons = [event.values["failure"] for event in events if isinstance(event, TrialEnded) and event.status != "ok"]
    kept = json.loads((directory / "result.json").read_text())["trials"]
    shown = {table.title: table.rows for table in tables(outcome)}["trials that failed"]
    log = (directory / "run.log").read_text()

    assert len(reasons) == 2 and all("killed by SIGSEGV" in reason for reason in reasons)
    assert [trial["number"] for trial in kept if "killed by SIGSEGV" in trial["reason"]] == [2, 5]
    assert [(number, "killed by SIGSEGV" in why) for number, why in shown] == [("2", True), ("5", True)]
    said = verdict(outcome)
    assert "2 of 6 trials failed" in said and "SIGSEGV" in said
    assert html_report(outcome, {}).count("killed by SIGSEGV") == 3  # the verdict's, and one of each trial
    for trial in (2, 5):
        for attempt in (0, 1):
            assert f"trial {trial}, attempt {attempt} failed\n    Traceback (most recent call last)" in log


def test_no_process_of_a_run_loads_what_a_child_has_not_tried(tmp_path, monkeypatch):
    # integers and the packed form, so that files are calibrated, rounded, taken apart and put together
    recipe = own_recipe(
        tmp_path,
        layers=[
            {"match": "all", "scheme": [{"structure": {"sparsity": "$s"}}, {"quantize": {"dtype": "int8"}}]},
        ],
        compress={"method": "direct"},
        output={"export": ["onnx", "packed"]},
    )
    untried = loads_untried(monkeypatch)

    outcome = flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert outcome.best is not None
    assert untried == []


def test_a_runtime_that_crashes_on_the_untrained_model_ends_nothing_but_the_command(tmp_path, monkeypatch):
    recipe = own_recipe(tmp_path, compress={"method": "direct"})

    def dies(self, path, target, batch=None):
        raise RunFailed("onnxruntime was killed by SIGSEGV while it loaded and ran model.onnx")

    monkeypatch.setattr(probe.Prober, "probe", dies)

    with pytest.raises(MachineError, match="killed by SIGSEGV"):
        flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")
    assert not (tmp_path / "runs").exists()
