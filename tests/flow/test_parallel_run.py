"""Trials that are trained at once, in processes of their own, are the trials that are trained in turn."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import Interrupted
from condensa_core.progress import Advanced, OfTrial
from condensa_core.recipe import read_recipe_text, recipe_from, resolved_yaml
from condensa_core.run_directory import file_sha256
from condensa_core.search import read_journal


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def grid(parallel, **changes):
    search = {"method": "grid", "trials": 3, "parallel": parallel}
    knob = {"s": {"choices": [0.0, 0.4, 0.6, 0.8]}}
    return tiny(search=search, knobs=knob, compress={**tiny()["compress"], "steps": 2}, **changes)


def trained(directory):
    """Every trial by its knob: metric, objective, the whole course of its training, and the weights it ships."""
    _, entries = read_journal(directory / "trials.jsonl")
    found = {}
    for payload in (entry.payload for entry in entries if entry.kind == "trial-ended"):
        o = payload["observation"]
        weights = file_sha256(directory / "trials" / f"{payload['number']:03d}" / "weights.safetensors")
        found[o["point"]["s"]] = (o["metric"], o["objective"], o["details"]["lc"], weights)
    return found


def only(folder):
    (directory,) = folder.iterdir()
    return directory


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory, cache):
    out = tmp_path_factory.mktemp("in-turn")
    outcome = flow.run(recipe_from(grid(1)), out=out, cache_dir=cache)
    return outcome, trained(only(out / "tiny"))


def test_two_at_once_train_to_the_same_bits_as_one_after_the_other(tmp_path, cache, in_turn):
    events = []

    outcome = flow.run(recipe_from(grid(2)), out=tmp_path, cache_dir=cache, allow_python=False, listener=events.append)

    directory = only(tmp_path / "tiny")
    assert trained(directory) == in_turn[1] and len(in_turn[1]) == 3
    assert outcome.best.knobs == in_turn[0].best.knobs
    assert {e.number for e in events if isinstance(e, OfTrial) and isinstance(e.event, Advanced)} == {0, 1, 2}
    named = [e.event.values for e in events if isinstance(e, OfTrial) and isinstance(e.event, Advanced)]
    assert any("val_top1" in values for values in named)  # in the words of the recipe, as without workers
    log = (directory / "run.log").read_text()
    assert "up to 2 trials at once" in log and "Waiting" not in log and "Advanced" not in log
    left = [str(p) for p in directory.rglob("*") if ".partial" in p.name or p.name.startswith("lc-")]
    assert not left


def test_an_interrupted_run_goes_on_with_another_number_at_once(tmp_path, cache, in_turn):
    def stop(event):
        if isinstance(event, OfTrial) and isinstance(event.event, Advanced) and event.event.phase == "learn":
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        flow.run(recipe_from(grid(2)), out=tmp_path, cache_dir=cache, listener=stop)
    directory = only(tmp_path / "tiny")
    _, entries = read_journal(directory / "trials.jsonl")
    under_way = [entry.payload["number"] for entry in entries if entry.kind == "trial-started"]
    flow.resume(directory, parallel=1, cache_dir=cache)

    assert under_way == [0, 1]
    assert trained(directory) == in_turn[1]
    assert not list(directory.rglob(".partial*"))


OWN = """
import os
import signal
from pathlib import Path

from gpytorch.kernels import MaternKernel, ScaleKernel


class Fragile:
    # Kills its process, if that is a worker, as often as there are files to remove.
    def __init__(self, lives, parent):
        self.lives, self.parent = Path(lives), parent

    def __call__(self, weights):
        if os.getpid() != self.parent:
            for life in self.lives.glob("*"):
                life.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return weights.abs().sum(1)


def fragile(lives, parent):
    return Fragile(lives, parent)
"""

KERNELS = """
from gpytorch.kernels import MaternKernel, ScaleKernel


def kernel(knobs):
    return ScaleKernel(MaternKernel(nu=1.5, ard_num_dims=knobs))
"""


OWN = """
import os
import signal

from torch import nn


class Fragile(nn.Module):
    # Its training takes the process with it where few filters are left, unless that is the process of the test.

    def __init__(self, parent):
        super().__init__()
        self.parent = parent
        self.first, self.last = nn.Conv2d(1, 8, 3), nn.Linear(8 * 36, 10)

    def forward(self, x):
        if self.training and self.first.weight.shape[0] < 4 and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.last(self.first(x).relu().flatten(1))


def kernel(knobs):
    return ScaleKernel(MaternKernel(nu=1.5, ard_num_dims=knobs))
"""


def test_a_trial_whose_process_dies_twice_has_failed_and_the_run_goes_on(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "kernels.py").write_text(KERNELS)
    recipe = tiny(
        model={"python": "own.py:Fragile", "args": {"parent": os.getpid()}, "input": {"image": [1, 8, 8]}},
        reference={"train": {"epochs": 1}},
        layers=[{"match": "first", "scheme": {"filter": {"sparsity": "$s"}}}],
        knobs={"s": {"choices": [0.0, 0.25, 0.75]}},
        compress={"method": "direct", "finetune": {"epochs": 1}},
        constraint={"metric": "top1", "max_drop": "60pp"},
        search={"method": "straddle", "kernel": {"python": "kernels.py:kernel"}, "trials": 2, "parallel": 2},
    )
    declared = read_recipe_text(resolved_yaml(recipe_from(recipe)), str(tmp_path / "recipe.yaml"))

    outcome = flow.run(declared, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    rows = {row.knobs["s"]: row for row in outcome.trials}
    assert rows[0.75].status == "failed" and "killed by SIGKILL" in rows[0.75].reason
    assert rows[0.25].status == "ok" and outcome.status == "ok" and outcome.best.knobs == {"s": 0.25}
    assert outcome.trainings_used == 3  # two attempts of one, one of the other
    assert not list((tmp_path / "runs").rglob(".partial*"))


def test_a_signal_stops_all_processes_and_the_run_can_be_resumed(tmp_path):
    compress = {**tiny()["compress"], "steps": 200}
    recipe = tiny(compress=compress, knobs={"s": {"choices": [0.0, 0.4, 0.8]}}, search={"method": "grid", "trials": 2})
    (tmp_path / "r.yaml").write_text(resolved_yaml(recipe_from(recipe)))
    environment = os.environ | {
        "CONDENSA_CACHE": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "ignore", "-m", "condensa_cli", "run", "--verbose", "--parallel", "2", "r.yaml"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    while line := process.stderr.readline():
        if "trial 1: L-C step" in line:
            break
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)

    assert len(workers) == 3  # and the process that tries files
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert process.returncode == 130 and "continue with: condensa resume" in told
    directory = only(tmp_path / "runs" / "tiny")
    assert list(directory.rglob("lc-0.safetensors"))  # where resume goes on
    assert not list(tmp_path.glob("condensa-*"))
