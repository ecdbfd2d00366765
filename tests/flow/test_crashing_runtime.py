"""A runtime that crashes on some candidates: they are failed trials, and the run says so and goes on."""

import json

import pytest
from own_recipe import own_recipe

from condensa_core import flow
from condensa_core.bench import probe
from condensa_core.progress import TrialEnded
from condensa_core.report import html_report, tables, verdict

CANDIDATES = 6
DEADLY = """
import ctypes, re
from condensa_core.bench import probe

real = probe.open_runner


def open_runner(target, path, feeds):
    trial = re.search(r"trials/(\\d+)/", str(path))
    if trial and int(trial[1]) % 3 == 2:
        ctypes.string_at(0)  # reads address 0
    return real(target, path, feeds)


probe.open_runner = open_runner
"""


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
