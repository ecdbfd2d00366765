"""kill -9 at random moments, five times: nothing finished is lost or repeated, and the end is the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tiny_recipe import tiny

from condensa_core.recipe import recipe_from, resolved_yaml
from condensa_core.search import read_journal

KILLS = 5


def start(arguments: list[str], folder: Path) -> subprocess.Popen:
    environment = os.environ | {"CONDENSA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "condensa_cli", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def killed_after(process: subprocess.Popen, seconds: float) -> bool:
    """Kill it that long after its first line; False if it ended before."""
    working(process)
    time.sleep(seconds)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return alive


def working(process: subprocess.Popen) -> None:
    """Wait until it names its run directory: imports and checks are over, work begins."""
    while line := process.stderr.readline():
        if b"run directory" in line:
            return


def finished_trials(directory: Path) -> list[dict]:
    """Every finished trial in the journal, without its wall time."""
    _, entries = read_journal(directory / "trials.jsonl")
    return [dict(e.payload) for e in entries if e.kind == "trial-ended"]


def essence(trial: dict) -> tuple:
    observation = trial["observation"]
    return trial["number"], trial["attempt"], trial["point"]["s"], observation["metric"], observation["objective"]


def test_five_kills_cost_no_finished_trial_and_change_no_result(tmp_path):
    for name in ("whole", "killed"):
        recipe = recipe_from(tiny(name=name, compress={**tiny()["compress"], "steps": 5}))
        (tmp_path / f"{name}.yaml").write_text(resolved_yaml(recipe))
    whole = start(["run", "whole.yaml"], tmp_path)
    working(whole)
    begun = time.monotonic()
    whole.communicate()
    lasted = time.monotonic() - begun
    (whole_directory,) = (tmp_path / "runs" / "whole").iterdir()

    moments = random.Random(7)
    process = start(["run", "killed.yaml"], tmp_path)
    seen: list[tuple] = []
    kills = 0
    while kills < KILLS and killed_after(process, moments.uniform(0, 0.35 * lasted)):
        kills += 1
        (directory,) = (tmp_path / "runs" / "killed").iterdir()
        if (directory / "trials.jsonl").exists():
            now = [essence(t) for t in finished_trials(directory)]
            assert now[: len(seen)] == seen  # what was finished stays, and comes first
            seen = now
        process = start(["resume", str(directory)], tmp_path)
    process.communicate()

    assert process.returncode == 0 and kills == KILLS, (process.returncode, kills, lasted)
    (directory,) = (tmp_path / "runs" / "killed").iterdir()
    trials = [essence(t) for t in finished_trials(directory)]
    assert max(Counter(number for number, *_ in trials).values()) == 1  # none repeated
    assert trials == [essence(t) for t in finished_trials(whole_directory)]
    results = [json.loads((d / "result.json").read_text()) for d in (whole_directory, directory)]
    for key in ("trials", "best", "constraint", "reference"):
        assert strip(results[0][key]) == strip(results[1][key])
    assert not list(directory.rglob(".partial*"))
    assert not list(directory.rglob("lc-*"))  # also of trials whose process died before it could tidy up


def strip(value):
    """Without measured times, which differ from run to run, and without costs: a kill makes some work done twice."""
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in ("measurement", "seconds", "training_cost")}
    return [strip(v) for v in value] if isinstance(value, list) else value
