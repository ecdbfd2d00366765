"""A machine without memory fails the trial that asked for it, not the run."""

import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from own_recipe import own_recipe
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import ExportFailed, MachineError, OutOfMemory, RunFailed, WorkloadError
from condensa_core.flow import trial
from condensa_core.flow.before_work import memory_before_work
from condensa_core.flow.running import logged
from condensa_core.progress import silent
from condensa_core.recipe import recipe_from
from condensa_core.run_directory import RunDirectory
from condensa_core.search import read_journal
from condensa_core.workload.out_of_memory import is_out_of_memory
from condensa_core.workload.python_reference import user_code

GIB = 1 << 30


@contextmanager
def little_memory():
    """This process may take half a GiB more than it has, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB // 2, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def too_much():
    with little_memory():
        torch.empty(GIB)


def test_what_torch_python_and_numpy_raise_for_want_of_memory_is_known_as_such():
    for allocate in (too_much, lambda: bytearray(GIB), lambda: np.empty(GIB)):
        with little_memory(), pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        assert is_out_of_memory(caught.value)

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied (32x8 and 4x10)"))


def test_a_trial_without_memory_fails_and_the_run_goes_on(tmp_path, monkeypatch):
    real = trial.compress_directly
    asked = []

    def hungry(model, parts, *args, **kwargs):
        asked.append(parts[0].scheme)
        if len(asked) <= 2:  # both attempts at the first trial
            too_much()
        return real(model, parts, *args, **kwargs)

    monkeypatch.setattr(trial, "compress_directly", hungry)
    recipe = tiny(
        compress={"method": "direct"},
        knobs={"s": {"choices": [0.0, 0.25, 0.75]}},
        constraint={"metric": "top1", "max_drop": "90pp"},
        search={"method": "grid", "trials": 2},
    )

    outcome = flow.run(recipe_from(recipe), out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    rows = sorted(outcome.trials, key=lambda row: row.number)
    assert [row.status for row in rows] == ["failed", "ok"] and len(asked) == 3
    assert rows[0].reason.startswith("out of memory: ") and "allocate" in rows[0].reason
    assert outcome.status == "ok" and outcome.best.knobs == rows[1].knobs


def test_a_run_without_memory_before_its_trials_can_be_resumed(tmp_path, monkeypatch):
    def hungry(*args, **kwargs):
        too_much()

    monkeypatch.setattr(flow.running, "judged_reference", hungry)

    with pytest.raises(OutOfMemory, match="out of memory") as caught:
        flow.run(recipe_from(tiny()), out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert caught.value.exit_code == 4 and "data.batch" in caught.value.hint


def test_a_gpu_that_disappears_stops_a_run_that_can_be_resumed(tmp_path, monkeypatch):
    def lost(*args, **kwargs):
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later")

    monkeypatch.setattr(flow.running, "judged_reference", lost)

    with pytest.raises(RunFailed, match="the GPU failed: CUDA error: unspecified launch failure") as caught:
        flow.run(recipe_from(tiny()), out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert caught.value.exit_code == 4


def test_a_gpu_that_disappears_in_a_trial_is_no_fault_of_the_trial(tmp_path, monkeypatch):
    def lost(*args, **kwargs):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(trial, "compress_directly", lost)
    recipe = own_recipe(tmp_path, compress={"method": "direct"})

    with pytest.raises(RunFailed, match="the GPU failed: CUDA error: device-side assert") as caught:
        flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    (directory,) = (tmp_path / "runs" / "tiny").iterdir()
    _, entries = read_journal(directory / "trials.jsonl")
    assert caught.value.exit_code == 4 and "nvidia-smi" in caught.value.hint
    assert entries[-1].kind == "trial-started"  # and is begun again by whoever resumes


HUNGRY = """
import torch
from pathlib import Path

import numpy as np


def data(part):
    asked = Path(__file__).with_name("asked").read_text()
    if asked == "numpy":
        np.empty(1 << 60, dtype=np.uint8)
    if asked == "torch":
        torch.empty(1 << 60, dtype=torch.uint8)
    if asked == "python":
        raise MemoryError
"""


@pytest.mark.parametrize(
    ("asked", "said"), [("numpy", "Unable to allocate"), ("torch", "can't allocate"), ("python", "MemoryError")]
)
def test_own_code_without_memory_before_the_work_is_this_machines_affair(tmp_path, asked, said):
    recipe = own_recipe(tmp_path)
    (tmp_path / "own.py").write_text(HUNGRY + "\nnet = torch.nn.Sequential\n")
    (tmp_path / "asked").write_text(asked)

    with pytest.raises(MachineError, match=rf"out of memory at own\.py:\d+: .*{said}") as caught:
        flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert caught.value.exit_code == 3 and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("error", [RuntimeError("can't allocate memory: you tried to allocate 8 bytes"), None])
def test_what_tried_a_model_is_not_believed_that_it_was_the_models_fault(error):
    @memory_before_work()
    def tried():
        try:
            raise ExportFailed("the export failed") from error
        except ExportFailed as err:
            raise WorkloadError("the model cannot be exported") from err

    with pytest.raises(MachineError if error else WorkloadError):
        tried()


def test_own_code_without_memory_in_the_work_ends_a_run_that_can_be_continued(tmp_path):
    def hungry():
        with user_code("own.py:data"):
            bytearray(1 << 60)

    with pytest.raises(OutOfMemory, match="out of memory") as caught, logged(RunDirectory.open(tmp_path), silent):
        hungry()

    assert caught.value.exit_code == 4 and "out of memory" in (tmp_path / "run.log").read_text()
