"""The user's code does what it should not: it is named, and leaves nothing behind."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from condensa_core.errors import UserCodeFailed, WorkloadError
from condensa_core.learning.descent import descend
from condensa_core.progress import Note
from condensa_core.randomness import Seed
from condensa_core.workload.batches import DatasetBatches, StreamedBatches, TensorBatches, checked_batch
from condensa_core.workload.evaluation import evaluate
from condensa_core.workload.metrics import TOP1
from condensa_core.workload.python_reference import call_object, load_object, user_code
from condensa_core.workload.sudden_end import no_sudden_end
from condensa_core.workload.tasks import task_named
from condensa_core.workload.training import TrainingPlan, fit
from condensa_core.workload.watch import watching

CARELESS = """
import os
import random
import signal

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads({threads})
torch.set_grad_enabled(False)
torch.set_default_device("meta")
torch.manual_seed(1)
np.random.seed(1)
random.seed(1)
np.seterr(all="raise")
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.chdir("/")


def build():
    torch.set_default_dtype(torch.float16)
    torch.rand(3)
    return 1
"""


def state():
    ours = signal.getsignal(signal.SIGINT), Path.cwd(), np.geterr()
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        *ours,
    )


def test_what_code_sets_for_the_whole_process_is_given_back(tmp_path):
    (tmp_path / "own.py").write_text(CARELESS.format(threads=torch.get_num_threads() + 1))
    before = state()
    draws = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()

    build = load_object("own.py:build", tmp_path)
    assert call_object("own.py:build", build, {}, tmp_path) == 1

    assert state() == before
    assert torch.equal(torch.get_rng_state(), draws[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == draws[1:]


def test_code_finds_its_files_from_where_it_went(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "numbers").write_text("7")
    code = f"""
import os
os.chdir({str(tmp_path / "there")!r})

def numbers():
    with open("numbers") as file:
        return file.read()

def leave():
    os.chdir({str(Path.cwd())!r})
"""
    (tmp_path / "own.py").write_text(code)
    before = Path.cwd()
    numbers, leave = (load_object(f"own.py:{name}", tmp_path) for name in ("numbers", "leave"))

    assert call_object("own.py:numbers", numbers, {}, tmp_path) == "7"
    assert Path.cwd() == before
    call_object("own.py:leave", leave, {}, tmp_path)
    with pytest.raises(UserCodeFailed, match="FileNotFoundError"):
        call_object("own.py:numbers", numbers, {}, tmp_path)


@pytest.mark.parametrize("draw", [random.random, np.random.random, lambda: float(torch.rand(()))])
def test_what_a_loader_draws_follows_from_the_seed_and_the_pass_alone(draw):
    class Loader:
        def __iter__(self):
            return ((torch.full((2, 1), draw()), torch.zeros(2, dtype=torch.int64)) for _ in range(3))

    def drawn(number):
        part = StreamedBatches(Loader(), "own", count=6, batch=2, length=3, seed=Seed(5), training=True)
        found = []
        for inputs, _ in part.epoch(number):
            draw()  # what others draw meanwhile is no matter
            found.append(float(inputs[0]))
        return found

    assert drawn(0) == drawn(0) and len(set(drawn(0) + drawn(1))) == 6


def test_a_generator_that_yields_under_no_grad_leaves_the_training_its_gradients():
    class Loader:
        def __iter__(self):
            with torch.no_grad():
                for _ in range(3):
                    yield torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64)

    part = StreamedBatches(Loader(), "own", count=6, batch=2, length=3)

    assert [torch.is_grad_enabled() for _ in part] == [True] * 3
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("call", "told"), [("sys.exit(0)", r"sys\.exit\(0\)"), ("exit('x')", r"sys\.exit\('x'\)")])
def test_code_that_ends_the_program_is_told_as_its_mistake(tmp_path, call, told):
    (tmp_path / "own.py").write_text(f"import sys\n\ndef build():\n    {call}\n")
    build = load_object("own.py:build", tmp_path)

    with pytest.raises(UserCodeFailed, match=rf"own\.py:build called {told} at own\.py:4"):
        call_object("own.py:build", build, {}, tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_samples_that_are_no_numbers_are_refused_where_they_come_from(bad):
    inputs = torch.zeros(4, 3)
    inputs[2, 1] = bad

    with pytest.raises(WorkloadError, match=r"data\.val gives inputs that are not finite"):
        checked_batch((inputs, torch.zeros(4, dtype=torch.int64)), "data.val")


class Stuck(Dataset):
    def __init__(self) -> None:
        self.released = threading.Event()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i):
        self.released.wait(20)  # the line that is named
        return torch.zeros(1), 0


def test_a_loader_that_hangs_is_named_with_its_line_and_the_stack_is_logged():
    data, notes, logs = Stuck(), [], []

    def told(event):
        notes.append(event)
        if len(notes) == 2:  # told again while it goes on
            data.released.set()

    with watching(told, logs.append, patience_s=0.1):
        list(DatasetBatches(data, "data.train (own.py:train)", 2, 2, Seed(0)))

    assert all(isinstance(note, Note) and note.level == "warning" for note in notes)
    line = CODE.co_firstlineno + 1
    assert notes[0].message.startswith("data.train (own.py:train) has not come back for 0 s: it is at ")
    assert f"test_users_code.py:{line} in __getitem__" in notes[0].message
    assert "self.released.wait(20)" in logs[0] and "default_collate" in logs[0]


CODE = Stuck.__getitem__.__code__


class StuckModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.released = threading.Event()

    def forward(self, x):
        self.released.wait(20)
        return self.linear(x)


def judging(model, data):
    evaluate(model, data, [TOP1])


def learning(model, data):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    descend(model, iter(data), functional.cross_entropy, optimizer, 1, where="L step 3")


def training_the_reference(model, data):
    part = SimpleNamespace(train=data, val=data)
    fit(model, part, TrainingPlan(1, 0.1, 2, "sgd", 0.0, 0.9), task_named("classification"), seed=Seed(0))


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (judging, "the forward pass of StuckModel"),
        (learning, "a training step (L step 3)"),
        (training_the_reference, "a training step of the reference"),
    ],
)
def test_a_forward_that_hangs_is_named_with_its_line(work, name):
    model, notes = StuckModel(), []
    data = TensorBatches(torch.zeros(2, 2), torch.tensor([0, 1]), 2, training=True)

    def told(event):
        notes.append(event.message)
        model.released.set()

    with watching(told, patience_s=0.1):
        work(model, data)

    assert notes[0].startswith(f"{name} has not come back for 0 s: it is at test_users_code.py:")
    assert "in forward" in notes[0]


def test_what_comes_back_in_time_is_not_told():
    notes = []

    with watching(notes.append, patience_s=0.2):
        for _ in range(10):
            with user_code("quick"):
                time.sleep(0.05)

    assert notes == []
    assert "condensa-watch" not in [thread.name for thread in threading.enumerate()]


def test_code_inside_code_is_watched_as_what_is_outside_afterwards():
    notes = []

    with watching(notes.append, patience_s=0.1), user_code("outer"):
        with user_code("inner"):
            pass
        time.sleep(0.4)

    assert notes and all(note.message.startswith("outer has not come back") for note in notes)
    assert sys.exc_info() == (None, None, None)


def test_children_end_as_they_like_and_afterwards_everybody_does():
    real = os._exit

    with no_sudden_end():
        child = os.fork()
        if child == 0:
            os._exit(7)
        _, status = os.waitpid(child, 0)
        with pytest.raises(SystemExit, match=r"os\._exit\(3\)"):
            os._exit(3)

    assert os.waitstatus_to_exitcode(status) == 7
    assert os._exit is real


def test_another_thread_ends_the_process_as_a_worker_does_that_lost_its_parent():
    code = (
        "import os, threading, time\nfrom condensa_core.workload.sudden_end import no_sudden_end\n"
        "with no_sudden_end():\n    threading.Thread(target=lambda: os._exit(5)).start()\n    time.sleep(20)\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 5
