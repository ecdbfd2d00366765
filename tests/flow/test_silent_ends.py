"""A trial in which process after process is killed gets one of its own, whose death it can be blamed for."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from condensa_core.flow import parallel
from condensa_core.flow.silent_ends import BEGUN, MANY, STATE, Begins, often_killed


def killed_in(begins, saving=None):
    """A process that is killed in the attempt, before or after it saved something."""
    child = os.fork()
    if child == 0:
        with begins.counted():
            if saving is not None:
                (begins.folder / STATE.format(begins.attempt)).write_bytes(saving)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_processes_count_that_were_killed_since_something_was_saved(tmp_path):
    begins = Begins(tmp_path / "trials" / "004", 1)
    for times in range(1, MANY):
        killed_in(begins)
        assert begins.killed == times and often_killed(tmp_path) is None

    killed_in(begins)
    assert often_killed(tmp_path) == begins and begins.trial == "4"
    killed_in(begins, saving=b"step 1")
    assert begins.killed == 0 and often_killed(tmp_path) is None
    killed_in(begins)
    assert begins.killed == 1


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, None])
def test_an_attempt_that_ends_otherwise_forgets_what_was_before(tmp_path, error):
    begins = Begins(tmp_path / "trials" / "000", 0)
    killed_in(begins)

    try:
        with begins.counted():
            assert begins.killed == 2
            if error is not None:
                raise error
    except (KeyError, KeyboardInterrupt):
        pass

    assert begins.killed == 0 and not list(begins.folder.iterdir())


def test_a_file_that_cannot_be_written_costs_the_count_only(tmp_path):
    (tmp_path / "trials").touch()

    with Begins(tmp_path / "trials" / "000", 0).counted():
        done = True

    assert done and often_killed(tmp_path) is None


def test_names_that_no_run_gives_are_passed_over(tmp_path):
    for folder, name in (("000", "begun-x.txt"), ("000", f"begun-{'9' * 5000}"[:200] + ".txt"), ("x", "begun-0.txt")):
        (tmp_path / "trials" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "trials" / folder / name).write_text("nothing\n" * MANY)

    assert often_killed(tmp_path) is None


EVALUATOR = SimpleNamespace(lost=None)


@dataclass
class File:
    """Of the reference, as far as workers are told of it here."""

    path: Path


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """Chooses who carries out the trials of a run in tmp_path: what was chosen, and what was told."""

    class Workers:
        def __init__(self, opening, capacity, *, threads, **kwargs):
            self.beside, self.capacity, self.threads = opening.beside, capacity, threads

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(parallel, "Processes", Workers)
    monkeypatch.setattr(parallel, "fingerprint", lambda bench: "")
    reference = SimpleNamespace(file=File(tmp_path / "m.onnx"), val=None)

    def choose(count=1):
        told = []
        with parallel.executor_of(
            EVALUATOR, None, reference, None, tmp_path, count, told.append, allow_python=True, cache_dir=None
        ) as executor:
            return executor, told

    return choose


def test_a_trial_that_many_were_killed_in_gets_a_process_of_its_own_once(tmp_path, chosen):
    begins = Begins(tmp_path / "trials" / "012", 0)
    for _ in range(MANY - 1):
        killed_in(begins)
    assert chosen() == (EVALUATOR, [])
    killed_in(begins)

    apart, (first,) = chosen()
    again, (second,) = chosen()  # a process that was killed before its worker began

    assert (apart.capacity, apart.beside, apart.threads) == (1, 0, torch.get_num_threads())  # the same bits as before
    assert again is EVALUATOR  # what is given little time must not spend it on starting a worker
    assert first.level == second.level == "warning"
    assert "3 processes were killed in trial 12 and saved nothing more; it is tried again, in a process of its own" in (
        first.message
    )
    assert "it is tried again, as before. If that was for want of memory, ulimit -v" in second.message
    killed_in(begins, saving=b"step 1")
    assert chosen() == (EVALUATOR, [])
    for _ in range(MANY):
        killed_in(begins)
    assert chosen()[0].capacity == 1  # at another place
    assert (begins.folder / BEGUN.format(0)).is_file()


def test_several_at_once_have_processes_of_their_own_anyway(tmp_path, chosen):
    for _ in range(MANY):
        killed_in(Begins(tmp_path / "trials" / "000", 0))

    executor, (note,) = chosen(2)

    assert (executor.capacity, executor.beside) == (2, 1) and "up to 2 trials at once" in note.message
