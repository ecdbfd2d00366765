"""Every exit code of the installed command, what it prints and what it leaves: one run that meets it all in turn."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from own_recipe import own_recipe

from condensa_core.recipe import resolved_yaml
from condensa_core.report.result_schema import result_schema
from condensa_core.search import read_journal

COMMAND = Path(sys.executable).with_name("condensa")
LONGEST_S = 240  # of a command, on a machine that does much else

# While it trains, the model does what the file `do` beside it says.
OWN = """
import os, signal, time
from pathlib import Path

import numpy as np
from torch import is_grad_enabled, nn, tensor

HERE = Path(__file__).parent


class Net(nn.Sequential):
    def forward(self, x):
        if self.training and is_grad_enabled() and (HERE / "do").exists():
            what = (HERE / "do").read_text()
            if what == "raise":
                raise ValueError("the data went away")
            if what == "stop":
                (HERE / "do").unlink()
                os.kill(os.getpid(), signal.SIGTERM)
            while what == "wait":
                (HERE / "waiting").touch()
                time.sleep(0.05)
        return super().forward(x)


def net():
    return Net(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))


def data(part):
    stored = np.load(HERE / f"{part}.npz")
    return tensor(stored["inputs"]), tensor(stored["targets"])
"""
# Found before the real ones by a command that is told of their folder.
PLANTED = {
    "no-runtime/onnxruntime.py": "raise ImportError('hidden')\n",
    "bug/sitecustomize.py": (
        "from condensa_core.flow import running\n"
        "def planted(*_): raise ZeroDivisionError('planted')\n"
        "running.require_same_begin = planted\n"
    ),
}


@dataclass(frozen=True)
class Ended:
    """One command: its exit code, its document, stderr, and result.json afterwards (None without one)."""

    code: int
    document: dict
    err: str
    kept: dict | None


class Stage:
    """A folder with a recipe, what it needs, and its runs."""

    def __init__(self, folder, **changes):
        self.folder = folder
        folder.mkdir()
        recipe = own_recipe(folder, **changes)
        (folder / "own.py").write_text(OWN)
        (folder / "recipe.yaml").write_text(resolved_yaml(recipe))
        for name, text in PLANTED.items():
            (folder / name).parent.mkdir()
            (folder / name).write_text(text)

    @property
    def directory(self):
        (found,) = (self.folder / "runs" / "tiny").iterdir()
        return found

    def started(self, *arguments, do="", planted=None):
        """A command under way."""
        (self.folder / "do").write_text(do)
        paths = [str(self.folder / planted)] if planted else []
        inherited = os.environ.get("PYTHONPATH")
        environment = {**os.environ, "CONDENSA_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([*paths, *([inherited] if inherited else [])])
        return subprocess.Popen(
            [COMMAND, *map(str, arguments), "--json", "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder, env=environment,
        )  # fmt: skip

    def ended(self, *arguments, do="", planted=None):
        """A command that came to its end."""
        process = self.started(*arguments, do=do, planted=planted)
        out, err = process.communicate(timeout=LONGEST_S)
        return Ended(process.returncode, json.loads(out), err, self.kept())

    def kept(self):
        if not (self.folder / "runs").exists():
            return None
        result = self.directory / "result.json"
        return json.loads(result.read_text()) if result.exists() else None


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return Stage(tmp_path_factory.mktemp("stage") / "one")


@pytest.fixture(scope="module")
def story(stage):
    """What each command on the one run came to, by a name."""
    met = {"failed": stage.ended("run", "recipe.yaml", "--out", "runs", do="raise")}
    resume = ("resume", stage.directory.relative_to(stage.folder))
    met["interrupted"] = stage.ended(*resume, do="stop")
    met["no runtime"] = stage.ended(*resume, planted="no-runtime")
    (stage.folder / "own.py").write_text(OWN + "# edited\n")
    met["refused"] = stage.ended(*resume)
    (stage.folder / "own.py").write_text(OWN)
    met["bug"] = stage.ended(*resume, planted="bug")

    owner = stage.started(*resume, do="wait")
    until = time.monotonic() + LONGEST_S
    while not (stage.folder / "waiting").exists() and owner.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    met["in use"] = stage.ended(*resume)
    met["owner"] = owner.pid, owner.poll()
    owner.send_signal(signal.SIGKILL)
    met["killed"] = owner.wait(LONGEST_S), stage.kept()
    owner.communicate()
    met["done"] = stage.ended(*resume)
    return met


@pytest.fixture(scope="module")
def not_met(tmp_path_factory):
    """The same run in one go, with a gate that does not hold."""
    stage = Stage(tmp_path_factory.mktemp("stage") / "two", gates=[{"metric": "size.onnx", "at_most": "100B"}])
    return stage, stage.ended("run", "recipe.yaml", "--out", "runs")


CODES = {"failed": 4, "interrupted": 130, "no runtime": 3, "refused": 2, "bug": 70, "done": 0}


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_a_command_ends_with_its_code_and_one_document_on_stdout_and_in_the_run(story, stage, name, code):
    ended = story[name]

    assert (ended.code, ended.document["exit_code"]) == (code, code), ended.err
    jsonschema.validate(ended.document, result_schema())
    assert ended.kept == ended.document
    assert ended.document["run_dir"] == str(stage.directory.relative_to(stage.folder))
    if code:
        assert ended.document["continue_with"] == f"condensa resume {ended.document['run_dir']}"
        assert ended.document["reasons"] and "Traceback" not in ended.err


def test_the_reasons_are_those_of_what_happened(story, stage):
    reasons = {name: story[name].document["reasons"][0] for name in CODES if name != "done"}

    assert "the data went away" in reasons["failed"] and "own.py" in reasons["failed"]
    assert reasons["interrupted"].startswith("interrupted")
    assert reasons["no runtime"] == "ONNX Runtime is not installed"
    assert "own.py (its hash was" in reasons["refused"]
    assert reasons["bug"] == "internal error: ZeroDivisionError: planted"
    (traceback,) = stage.directory.glob("condensa-crash-*.txt")
    assert "ZeroDivisionError: planted" in traceback.read_text()


def test_of_two_processes_at_one_run_the_second_leaves_and_names_the_first(story):
    owner, state = story["owner"]

    assert state is None  # at work all the time
    assert story["in use"].code == 2 and f"in use by process {owner}" in story["in use"].err
    jsonschema.validate(story["in use"].document, result_schema())
    assert story["in use"].kept is None  # the run is the owner's, and has not ended


def test_when_the_first_is_killed_the_next_takes_over_and_finishes(story):
    code, left = story["killed"]

    assert code == -signal.SIGKILL and left is None
    assert story["done"].document["status"] == "ok" and story["done"].document["best"]["trial"] == 0


def test_a_bound_that_does_not_hold_is_exit_code_1(not_met):
    _, ended = not_met

    assert (ended.code, ended.document["status"]) == (1, "gate-failed"), ended.err
    assert "size.onnx" in ended.document["reasons"][-1]
    assert ended.document["gates"][0]["value"] == ended.document["best"]["bytes"]
    jsonschema.validate(ended.document, result_schema())
    assert ended.kept == ended.document


def test_nothing_of_all_that_happened_to_a_run_is_in_its_weights_or_trials(story, stage, not_met):
    other, _ = not_met

    for name in ("best/weights.safetensors", "best/model.onnx"):
        assert (stage.directory / name).read_bytes() == (other.directory / name).read_bytes()
    assert metrics(stage.directory) == metrics(other.directory)


def metrics(directory):
    _, entries = read_journal(directory / "trials.jsonl")
    ended = [entry.payload["observation"] for entry in entries if entry.kind == "trial-ended"]
    return [(o["point"], o["metric"], o["objective"], o["details"]["sha256"]) for o in ended]


def test_a_recipe_that_is_refused_leaves_nothing_on_the_disk(tmp_path):
    stage = Stage(tmp_path / "three")
    recipe = stage.folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("max_drop", "max_dorp"))

    ended = stage.ended("run", "recipe.yaml", "--out", "runs")

    assert ended.code == ended.document["exit_code"] == 2
    jsonschema.validate(ended.document, result_schema())
    assert ended.document["problems"] and ended.document["run_dir"] is None
    assert not (stage.folder / "runs").exists()
