"""The user's Python fails in the middle of a run: its line is named, and the run can be continued."""

import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from own_recipe import OWN, own_recipe

from condensa_core import flow
from condensa_core.errors import RunFailed, UserCodeFailed
from condensa_core.flow import parallel
from condensa_core.flow.parallel import SetUpAgain
from condensa_core.flow.users_code import blaming
from condensa_core.flow.workbench import bound
from condensa_core.run_directory import file_sha256
from condensa_core.search import Trial
from condensa_core.workload import watching
from condensa_core.workload.python_reference import load_object, user_code

FAILING = OWN.replace(
    "def net():",
    """
class Net(nn.Sequential):
    def forward(self, x):
        if self.training and Path(__file__).with_name("broken").exists():
            raise ValueError('no such luck')
        return super().forward(x)


def net():""",
).replace("return nn.Sequential(", "return Net(")


def test_a_forward_that_raises_while_it_learns_ends_the_run_and_can_be_continued(tmp_path):
    recipe = own_recipe(tmp_path)
    (tmp_path / "own.py").write_text(FAILING)
    (tmp_path / "broken").write_text("")

    with pytest.raises(RunFailed, match=r"own\.py:14 in forward: ValueError: no such luck") as failure:
        flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert failure.value.exit_code == 4
    (directory,) = (tmp_path / "runs" / "tiny").iterdir()
    log = (directory / "run.log").read_text()
    assert "Traceback (most recent call last)" in log and "ValueError: no such luck" in log
    assert f"torch {torch.__version__}" in log and file_sha256(directory / "resolved.yaml") in log
    (tmp_path / "broken").unlink()
    outcome = flow.resume(directory, cache_dir=tmp_path / "cache")
    assert outcome.trainings_used == 1 and outcome.trials[0].status == "ok"


SEEDING = OWN.replace(
    "def data(part):",
    """
def data(part):
    import os, random
    os.chdir("/")
    np.random.seed(1)
    random.seed(1)
    found = honest(part)
    return found[0] + tensor(np.random.random(found[0].shape).astype("float32")), found[1]


def honest(part):""",
)


def test_code_that_seeds_and_goes_elsewhere_changes_no_result_and_no_path(tmp_path, monkeypatch):
    recipe = own_recipe(tmp_path)
    (tmp_path / "own.py").write_text(SEEDING)
    monkeypatch.chdir(tmp_path)
    begun = np.random.get_state()[1].tolist()

    outcome = flow.run(recipe, out=Path("runs"), cache_dir=Path("cache"))

    (directory,) = (tmp_path / "runs" / "tiny").iterdir()
    assert outcome.status == "ok" and (directory / "best" / "model.onnx").is_file()
    assert Path.cwd() == tmp_path and np.random.get_state()[1].tolist() == begun
    (tmp_path / "own.py").write_text(SEEDING.replace("    np.random.seed(1)\n    random.seed(1)\n", ""))
    one, two = (bound(recipe).splits.fingerprint for _ in range(2))
    assert one == two  # what it draws without a seed of its own follows from the recipe's


def test_what_hangs_in_a_worker_process_is_told_through_the_other_and_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "watching", partial(watching, patience_s=0.1))
    notes, released = [], threading.Event()

    def hanging(*args):
        released.clear()
        with user_code("own.py:data"):
            released.wait(20)
        return hanging

    def heard(event):
        notes.append(event.message)
        released.set()

    monkeypatch.setattr(SetUpAgain, "_set_up", hanging)
    unused = None
    evaluate = SetUpAgain(tmp_path, True, None, "", unused, unused, None, 1)(0, heard)
    told = len(notes)
    evaluate(Trial(0, {"s": 0.5}))

    assert told >= 1 and len(notes) >= told + 1
    assert all("own.py:data has not come back" in note for note in notes)
    assert (tmp_path / "run.log").read_text().count("released.wait(20)") == len(notes)


def test_only_what_passes_a_line_of_the_users_is_theirs(tmp_path):
    (tmp_path / "own.py").write_text("import sys\ndef f(g): g()\ndef leave(): sys.exit(3)\n")
    file = (tmp_path / "own.py").resolve()
    call, leave = (load_object(f"own.py:{name}", tmp_path) for name in ("f", "leave"))

    with pytest.raises(ZeroDivisionError), blaming({file}):
        _ = 1 / 0
    with pytest.raises(UserCodeFailed, match=r"own\.py:2 in f: RuntimeError: .*cannot be multiplied"), blaming({file}):
        call(lambda: torch.zeros(2, 3) @ torch.zeros(2, 3))
    with pytest.raises(UserCodeFailed, match=r"own\.py:3 in leave called sys\.exit\(3\)"), blaming({file}):
        leave()
    with pytest.raises(KeyboardInterrupt), blaming({file}):
        call(interrupt)


def interrupt():
    raise KeyboardInterrupt
