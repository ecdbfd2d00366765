"""Events on a terminal, in a log, and when somebody wants to stop."""

import io
import os
import signal
import sys
import time
from contextlib import contextmanager

import pytest
from condensa_cli import working as console_working
from condensa_cli.crash import Crash, runs_under
from condensa_cli.progress import LOG_INTERVAL_S, Bars, Lines, Warnings, display
from condensa_cli.working import working
from rich.console import Console

from condensa_core.errors import Interrupted, RunFailed, UsageError
from condensa_core.progress import (
    Advanced,
    Begun,
    Event,
    MidStep,
    Note,
    OfTrial,
    PhaseEnded,
    PhaseStarted,
    TrialEnded,
    TrialStarted,
    Waiting,
)
from condensa_core.run_directory import RunDirectory

RUN = [
    PhaseStarted("reference", 3, "10 epochs"),
    Advanced("reference", 1, {"loss": 0.51234, "lr": 0.1}),
    PhaseEnded("reference", "top1 0.98"),
    TrialStarted(0, 10, {"sparsity": 0.5}),
    Note("this is odd", level="warning"),
    TrialEnded(0, "ok", {"top1": 0.97, "probability": None}),
]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def lines_of(events, *, every_event=True, step=0.0):
    clock, stream = Clock(), io.StringIO()
    listener = Lines(Console(file=stream, width=200, soft_wrap=True), every_event=every_event, clock=clock)
    for event in events:
        listener(event)
        clock.now += step
    return stream.getvalue().splitlines()


def test_every_event_is_one_line_with_the_time_since_the_start():
    assert lines_of(RUN, step=1.0) == [
        "     0.0 s  reference training: started, 10 epochs",
        "     1.0 s  reference training epoch 1/3: loss 0.5123, lr 0.1",
        "     2.0 s  reference training: done, top1 0.98",
        "     3.0 s  trial 0 (1/10): started, sparsity 0.5",
        "     4.0 s  warning: this is odd",
        "     5.0 s  trial 0: ok, top1 0.97",
    ]


LEARNING = [
    PhaseStarted("learn", 19, "18 tensors"),
    Advanced("learn", 4, {"loss": 0.3123, "val_top1": 0.9722, "distance": 0.0213, "mu": 0.0712}),
    PhaseEnded("learn", "step 4 of 19 is the best"),
]


def test_learning_is_told_to_who_has_not_read_the_paper():
    step = "L-C step 4/19: loss 0.3123, validation top1 97.22 %, weights within 2.1 % of their compressed form"

    quiet = [line[12:] for line in lines_of(LEARNING, every_event=False, step=LOG_INTERVAL_S)]
    verbose = [line[12:] for line in lines_of(LEARNING)]

    assert quiet == ["L-C: started, 18 tensors", step, "L-C: done, step 4 of 19 is the best"]
    assert verbose == [quiet[0], f"{step}, penalty mu 0.0712", quiet[2]]


BESIDE = [
    TrialStarted(3, 8, {"s": 0.5}),
    TrialStarted(4, 8, {"s": 0.7}),
    OfTrial(3, PhaseStarted("learn", 19)),
    OfTrial(4, PhaseStarted("learn", 10)),
    Waiting(),
    MidStep(),
    Begun(),
    OfTrial(4, Waiting()),
    OfTrial(4, Advanced("learn", 2)),
    OfTrial(3, Advanced("learn", 5)),
    OfTrial(4, Note("this is odd", level="warning")),
    OfTrial(4, PhaseEnded("learn", "step 4 is the best")),
]


def test_trials_side_by_side_are_told_apart():
    assert [line[12:] for line in lines_of(BESIDE)] == [
        "trial 3 (4/8): started, s 0.5",
        "trial 4 (5/8): started, s 0.7",
        "trial 3: L-C: started",
        "trial 4: L-C: started",
        "trial 4: L-C step 2/10",
        "trial 3: L-C step 5/19",
        "warning: trial 4: this is odd",
        "trial 4: L-C: done, step 4 is the best",
    ]


def test_each_trial_has_its_own_bar_until_it_ends(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=150, highlight=False)
    died = TrialEnded(3, "failed", {}, "failed: the worker process was killed by SIGKILL")

    with Bars(console) as bars:
        for event in BESIDE[:-1]:
            bars(event)
        time.sleep(0.3)  # bars are drawn ten times a second
        drawn = len(stream.getvalue())
        for event in (BESIDE[-1], died):
            bars(event)

    before, after = stream.getvalue()[:drawn], stream.getvalue()[drawn:]
    assert "trial 3: L-C" in before and "5/19" in before and "trial 4: L-C" in before and "2/10" in before
    last = after.rsplit("trials", 1)[1]
    assert "1/8" in last and "L-C" not in last  # one has ended, and left no bar behind


def test_a_trial_that_was_judged_is_told_by_its_verdict():
    ended = TrialEnded(1, "ok", {"s": 0.5, "metric": 0.912}, "s 0.5: below the bound (top1 91.20 % < 92.00 %)")

    assert lines_of([ended]) == ["     0.0 s  trial 1: s 0.5: below the bound (top1 91.20 % < 92.00 %)"]


def test_a_log_thins_advances_and_nothing_else():
    many = [Advanced("lc", step) for step in range(100)]

    lines = lines_of([*RUN, *many], every_event=False, step=0.5)

    # 100 advances in 50 s: one per interval, after the five other lines of the run
    assert len([line for line in lines if "lc " in line]) == 50 / LOG_INTERVAL_S
    assert len(lines) == len(RUN) - 1 + 50 / LOG_INTERVAL_S


def test_quiet_shows_warnings_only():
    stream = io.StringIO()
    listener = Warnings(Console(file=stream))

    for event in [*RUN, Note("fine")]:
        listener(event)

    assert stream.getvalue() == "warning: this is odd\n"


def test_bars_show_elapsed_and_remaining_and_leave_the_results(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=150, highlight=False)

    with Bars(console) as bars:
        for event in RUN:
            bars(event)

    text = stream.getvalue()
    assert "trials" in text and "1/10" in text
    assert "0:00:00" in text and "left" in text
    assert "trial 0: ok, top1 0.97" in text


def test_a_phase_may_advance_without_having_started():
    with Bars(Console(file=io.StringIO(), force_terminal=True)) as bars:
        bars(Advanced("unknown", 1))
        bars(PhaseEnded("unknown"))


def test_no_bars_where_there_is_no_terminal(capsys):
    with display() as listener:
        listener(PhaseStarted("search", 3))

    assert capsys.readouterr().err == "     0.0 s  search: started\n"


def test_what_python_code_of_the_user_prints_does_not_reach_stdout(capsys):
    with working(quiet=True):
        print("noise")

    assert capsys.readouterr() == ("", "noise\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_at_the_next_event(number, capsys):
    before = signal.getsignal(number)

    with pytest.raises(Interrupted), working() as listener:
        listener(Event())
        os.kill(os.getpid(), number)
        still_working = sum(range(1000))
        assert still_working
        listener(Event())

    assert "stopping at the next safe point" in capsys.readouterr().err
    assert signal.getsignal(number) is before


def test_in_the_middle_of_an_l_step_a_signal_waits_for_a_while_and_no_longer(monkeypatch):
    with pytest.raises(Interrupted), working() as listener:
        os.kill(os.getpid(), signal.SIGTERM)
        listener(MidStep())
        monkeypatch.setattr(console_working, "MID_STEP_S", 0.0)
        listener(MidStep())
        sys.exit("not stopped")


def test_a_run_that_has_not_begun_is_stopped_at_once():
    with pytest.raises(KeyboardInterrupt), working(resumable=True) as listener:
        listener(Event())
        os.kill(os.getpid(), signal.SIGINT)
        sys.exit("not stopped")

    with pytest.raises(Interrupted), working(resumable=True) as listener:
        listener(Begun())
        os.kill(os.getpid(), signal.SIGINT)
        listener(Waiting())
        sys.exit("not stopped")


@pytest.mark.parametrize("quiet", [False, True])
def test_a_signal_is_answered_on_stderr_at_once_also_in_the_middle_of_a_print(quiet, capfd, monkeypatch):
    with pytest.raises(Interrupted), working(quiet=quiet) as listener:
        os.kill(os.getpid(), signal.SIGINT)
        assert "SIGINT: stopping at the next safe point" in capfd.readouterr().err
        listener(Event())

    def entered_twice(*parts):
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    monkeypatch.setattr(console_working, "say", entered_twice)
    with pytest.raises(Interrupted), working(quiet=quiet) as listener:
        os.kill(os.getpid(), signal.SIGTERM)
        listener(Event())
    assert capfd.readouterr() == ("", "SIGTERM: stopping at the next safe point; once more stops at once\n")


def test_the_second_signal_stops_at_once():
    with pytest.raises(KeyboardInterrupt), working():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        sys.exit("not stopped")


@pytest.fixture
def held(tmp_path):
    """A run directory that this process takes inside the block, and an older one with its number in the lock."""
    older = tmp_path / "digits" / "20260101T000000Z-aaaaaa"
    older.mkdir(parents=True)
    (older / ".lock").write_text(f"{os.getpid()}\n")
    (older / "manifest.json").write_text("{}")
    folder = tmp_path / "digits" / "20260102T000000Z-bbbbbb"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder


@contextmanager
def under(root, held, *others):
    """`runs_under`, a run taken inside."""
    with runs_under(root, *others), RunDirectory.resume(held):
        yield


@pytest.mark.parametrize("error", [Interrupted("stopped"), RunFailed("diverged")])
def test_a_run_that_ends_early_says_how_to_continue(held, tmp_path, error):
    with pytest.raises(type(error)) as caught, under(tmp_path, held):
        raise error

    assert caught.value.hint == f"continue with: condensa resume {held}"


def test_the_second_signal_says_how_to_continue_too(held, tmp_path):
    with pytest.raises(Interrupted) as caught, under(tmp_path, held):
        raise KeyboardInterrupt

    assert caught.value.hint == f"continue with: condensa resume {held}"


def test_an_ablation_continues_by_its_own_command(held, tmp_path):
    with pytest.raises(Interrupted) as caught, under(tmp_path, held, ["condensa", "ablate", "r.yaml", "--resume"]):
        raise Interrupted("stopped")

    assert caught.value.hint == f"continue with: condensa ablate r.yaml --resume {held}"


def test_a_run_that_was_stopped_before_its_first_file_has_nothing_to_continue(held, tmp_path):
    with pytest.raises(Interrupted) as caught, under(tmp_path, held):
        (held / "manifest.json").unlink()
        raise KeyboardInterrupt

    assert (caught.value.run_dir, caught.value.continue_with, caught.value.hint) == (str(held), None, None)


def test_what_is_to_be_mended_first_comes_first(held, tmp_path):
    with pytest.raises(RunFailed) as caught, under(tmp_path, held):
        raise RunFailed("cannot write", hint="free disk space")

    assert caught.value.hint == f"free disk space, then continue with: condensa resume {held}"


def test_a_bug_belongs_into_the_run_directory(held, tmp_path):
    with pytest.raises(Crash) as caught, under(tmp_path, held):
        raise ZeroDivisionError

    assert caught.value.directory == held
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_run_of_an_earlier_process_with_the_same_number_is_not_named(held, tmp_path):
    with pytest.raises(Interrupted) as caught, runs_under(tmp_path):
        raise KeyboardInterrupt

    assert (caught.value.run_dir, caught.value.hint) == (None, None)


@pytest.mark.parametrize("error", [UsageError("no"), ZeroDivisionError("bug")])
def test_without_a_run_directory_nothing_changes(tmp_path, error):
    with pytest.raises(type(error)) as caught, runs_under(tmp_path):
        raise error

    assert caught.value is error
