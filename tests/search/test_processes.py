"""Worker processes: several trials at once, and none of what happens to one of them happens to the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from worker_openings import Broken, Told

from condensa_core.errors import Interrupted, RunFailed, UsageError
from condensa_core.progress import Advanced, OfTrial, Waiting
from condensa_core.search import Processes, Trial


def trial(number, do="", attempt=0):
    return Trial(number, {"do": do, "x": number / 2}, attempt)


@pytest.fixture
def workers(tmp_path, monkeypatch):
    """Makes workers and, at the end, shows that nothing is left of them."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))  # other tests run beside this one

    def make(count, opening=None, **settings):
        return Processes(opening or Told(tmp_path), count, **settings)

    yield make
    for mark in tmp_path.glob("worker-*"):
        assert not Path(f"/proc/{mark.name.split('-')[2]}").exists()  # neither running nor a zombie
    assert list((tmp_path / "temporary").glob("condensa-workers-*")) == []


def came(path, seconds=60.0):
    """Wait for a file."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return path.exists()


def test_trials_run_at_once_and_end_in_any_order(workers, tmp_path):
    with workers(2) as executor:
        executor.start(trial(0, "wait to be told"))
        executor.start(trial(1))
        first = executor.wait()  # never, if they took turns
        (tmp_path / "told").touch()
        second = executor.wait()

    assert [ended.number for ended, _ in (first, second)] == [1, 0]
    assert [reading.metric for _, reading in (first, second)] == [0.5, 0.0]


def test_a_worker_takes_one_trial_after_the_other(workers):
    processes = set()
    with workers(2) as executor:
        for number in range(3):
            executor.start(trial(number))
            processes.add(executor.wait()[1].details["process"])

    assert len(processes) == 1


def test_a_trial_that_diverged_leaves_its_worker_at_work(workers):
    with workers(1) as executor:
        executor.start(trial(0, "diverge"))
        failed = executor.wait()
        executor.start(trial(1))
        _, reading = executor.wait()

    assert isinstance(failed[1], RunFailed) and "step 3" in str(failed[1])
    assert reading.metric == 0.5


@pytest.mark.parametrize(
    ("do", "said"), [("kill", "killed by SIGKILL, perhaps for want of memory"), ("exit", "code 7")]
)
def test_a_worker_that_dies_fails_its_trial_and_is_replaced(workers, tmp_path, do, said):
    with workers(2, lost=lambda died: {"spent": died.number}) as executor:
        executor.start(trial(0, "wait"))
        executor.start(trial(1, do))
        dead, failure = executor.wait()
        executor.start(trial(2))
        others = {ended.number: answer.metric for ended, answer in (executor.wait(), executor.wait())}

    assert dead == trial(1, do) and isinstance(failure, RunFailed)
    assert said in str(failure) and failure.details == {"spent": 1}
    assert others == {0: 0.0, 2: 1.0}
    assert sorted(mark.name[7] for mark in tmp_path.glob("worker-*")) == ["0", "1", "1"]


@pytest.mark.parametrize("when", ["dead and seen", "dying"])
def test_an_idle_worker_that_died_costs_no_trial(workers, tmp_path, when):
    with workers(1) as executor:
        executor.start(trial(0))
        process = executor.wait()[1].details["process"]
        # one that stands still takes nothing, and looks alive to whoever sends it the next trial
        os.kill(process, signal.SIGSTOP if when == "dying" else signal.SIGKILL)
        while when != "dying" and not zombie(process):
            time.sleep(0.01)
        executor.start(trial(1))
        if when == "dying":
            os.kill(process, signal.SIGKILL)
        assert executor.wait()[1].metric == 0.5
    assert len(list(tmp_path.glob("worker-0-*"))) == 2


def test_errors_that_are_no_failed_run_are_raised_here_with_their_traceback(workers):
    for do, kind, said in (("bug", KeyError, "a bug"), ("odd", RuntimeError, "OddError: 1 and 2")):
        with workers(1) as executor:
            executor.start(trial(0, do))
            with pytest.raises(kind, match=said) as caught:
                executor.wait()
        assert "worker_openings.py" in str(caught.value.__cause__)

    with workers(1) as executor:
        executor.start(trial(0, "misuse"))
        with pytest.raises(UsageError, match="not like this") as refused:
            executor.wait()
    assert refused.value.hint == "but like that"


def test_workers_that_cannot_start_end_the_search(workers):
    with workers(1, Broken("raises")) as executor:
        executor.start(trial(0))
        with pytest.raises(UsageError, match="not what they were"):
            executor.wait()

    with workers(1, Broken("dies")) as executor:
        executor.start(trial(0))
        with pytest.raises(RunFailed, match="killed by SIGSEGV before it could begin trial 0"):
            executor.wait()


def test_events_arrive_with_the_number_of_their_trial(workers):
    heard = []
    with workers(1, listener=heard.append) as executor:
        executor.start(trial(4))
        executor.wait()

    assert [e for e in heard if not isinstance(e, Waiting)] == [OfTrial(4, Advanced("learn", 1, {"trial": 4}))]


def test_workers_have_their_share_of_threads_and_keep_off_stdout(workers, capfd):
    with workers(1, threads=3) as executor:
        executor.start(trial(0, "threads"))
        assert executor.wait()[1].metric == 3
        executor.start(trial(1, "print"))
        executor.wait()

    shown = capfd.readouterr()
    assert shown.out == "" and "on stdout" in shown.err


def interrupting(event):
    if isinstance(event, OfTrial) and event.event.done == 3:
        raise Interrupted("stopped")


def test_an_interruption_stops_the_others_at_their_next_event(workers):
    begun = time.monotonic()
    with pytest.raises(Interrupted), workers(2, listener=interrupting, grace_s=300) as executor:
        executor.start(trial(0, "steps"))
        executor.start(trial(1, "steps"))
        executor.wait()

    assert time.monotonic() - begun < 60  # not killed, and not waited for


@pytest.mark.parametrize(("error", "grace_s"), [(Interrupted("stop"), 0.2), (KeyboardInterrupt(), 300)])
def test_a_worker_without_events_is_killed(workers, tmp_path, error, grace_s):
    begun = time.monotonic()
    with pytest.raises(type(error)), workers(1, grace_s=grace_s) as executor:
        executor.start(trial(0, "hang"))
        assert came(tmp_path / "step-of-0")
        raise error

    assert time.monotonic() - begun < 60


def test_a_listener_is_called_while_nothing_happens(workers):
    def impatient(event):
        if isinstance(event, Waiting):
            raise Interrupted("stopped")

    with pytest.raises(Interrupted), workers(1, listener=impatient, grace_s=0.2) as executor:
        executor.start(trial(0, "hang"))
        executor.wait()


ORPHANING = """
import sys
from pathlib import Path
from worker_openings import Told
from condensa_core.search import Processes, Trial
with Processes(Told(Path(sys.argv[1])), 2) as executor:
    for number in (0, 1):
        executor.start(Trial(number, {"do": "hang", "x": 0}))
    executor.wait()
"""


def test_workers_do_not_outlive_a_process_that_is_killed(tmp_path):
    support = str(Path(__file__).parents[1] / "support")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([support, *sys.path]), "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", ORPHANING, str(tmp_path)], env=environment)
    assert came(tmp_path / "step-of-0") and came(tmp_path / "step-of-1")

    parent.kill()
    parent.wait()

    running = [Path(f"/proc/{mark.name.split('-')[2]}/cmdline") for mark in tmp_path.glob("worker-*")]
    end = time.monotonic() + 30
    while any(alive(path) for path in running) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(running) == 2 and not any(alive(path) for path in running)


def zombie(process):
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def alive(cmdline):
    """Whether there is a process that is no zombie: whoever adopts orphans here may not bury them."""
    return cmdline.exists() and bool(cmdline.read_bytes())
