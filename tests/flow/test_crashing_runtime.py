"""A runtime that dies of some candidates: they are failed trials, and the run says so and goes on."""

from own_recipe import own_recipe

from condensa_core import flow
from condensa_core.bench import probe
from condensa_core.progress import TrialEnded
from condensa_core.report import verdict

DEADLY = """
import os, signal
from condensa_core.bench import probe

real = probe.open_runner


def open_runner(target, path, feeds):
    if "trials/000/" in str(path):
        os.kill(os.getpid(), signal.SIGSEGV)
    return real(target, path, feeds)


probe.open_runner = open_runner
"""


def test_a_candidate_that_kills_the_runtime_is_a_failed_trial_and_the_run_goes_on(tmp_path, monkeypatch):
    (tmp_path / "deadly_runtime.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    start = probe._START.replace("from condensa_core", "import deadly_runtime; from condensa_core")
    monkeypatch.setattr(probe, "_START", start)
    recipe = own_recipe(tmp_path, search={"trials": 2})
    events = []

    outcome = flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache", listener=events.append)

    ended = {event.number: event for event in events if isinstance(event, TrialEnded)}
    assert {number: event.status for number, event in ended.items()} == {0: "failed", 1: "ok"}
    assert "killed by SIGSEGV" in ended[0].values["failure"]
    assert outcome.best is not None and outcome.best.trial == 1
    assert "killed by SIGSEGV" in outcome.trials[0].reason
    assert "1 of 2 trials failed" in verdict(outcome)
    (directory,) = (tmp_path / "runs" / "tiny").iterdir()
    log = (directory / "run.log").read_text()
    for attempt in (0, 1):
        assert f"trial 0, attempt {attempt} failed\n    Traceback (most recent call last)" in log
