"""A crash of the run's own process: the attempt that it happened in counts, and the run goes on without it."""

import os
import signal
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from own_recipe import own_recipe

from condensa_core import flow
from condensa_core.errors import RunFailed
from condensa_core.flow import running, trial
from condensa_core.flow.last_words import last_words, leaving_last_words
from condensa_core.flow.silent_ends import Begins
from condensa_core.flow.stages import BEFORE, CRASH, Stage, stages_told
from condensa_core.report import Outcome, read_outcome
from condensa_core.report.ending import Ending, read_result
from condensa_core.run_directory import RunDirectory


def died_of(work):
    """The signal that ends a child that does this; 0 if it comes to its end."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def test_a_forked_child_that_crashes_does_not_speak_for_the_run(tmp_path):
    path = tmp_path / "crash-0.txt"

    with leaving_last_words(path, "trial 0"):
        death = died_of(lambda: os.kill(os.getpid(), signal.SIGABRT))

        assert death == signal.SIGABRT
        assert last_words(path, "trial 0") is None


def refused(directory, places):
    """What a process says that will not go on with the run."""
    with pytest.raises(RunFailed) as caught:
        flow.resume(directory, **places)
    return caught.value


@dataclass
class Story:
    """How a run ended, process after process, and how the last one came to its end."""

    deaths: list[int]
    journals: list[str]  # after each in the trial
    killed: list[int]  # how many were in its first attempt, by then
    said_outside: str
    refusals: list[RunFailed]  # of the two processes after two that crashed outside trials, the second tried anew
    ending: Ending
    passed: bool  # whether the crashes outside trials are forgotten once the stage is passed
    outcome: Outcome
    directory: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Processes of one run: two that abort before the first trial, one that is refused, and, when it is let again, one
    that is killed in the trial, two that crash in it, and one more."""
    folder = tmp_path_factory.mktemp("crashes")
    recipe, places = own_recipe(folder, search={"trials": 2}), {"cache_dir": folder / "cache"}
    real, deaths, journals, killed = trial.judged_file, [], [], []

    def dying_of(number):
        def judged_file(path):
            if "trials/000/" in str(path):
                os.kill(os.getpid(), number)
            return real(path)

        return judged_file

    def begun():
        return next((folder / "runs" / "tiny").iterdir())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "probing", nullcontext)  # seconds for a child, which is none of this
        flow.run(recipe, out=folder / "before", **places)  # loads what every fork would load again
        with pytest.MonkeyPatch.context() as before:
            before.setattr(running, "known_before", lambda *args: os.abort())
            deaths.append(died_of(lambda: flow.run(recipe, out=folder / "runs", **places)))
            said_outside = (begun() / CRASH).read_text()
            deaths.append(died_of(lambda: flow.resume(begun(), **places)))
        refusals = [refused(begun(), places) for _ in range(2)]
        ending = read_result(begun() / "result.json")
        (begun() / CRASH).unlink()
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGSEGV):
            patch.setattr(trial, "judged_file", dying_of(number))
            deaths.append(died_of(lambda: flow.resume(begun(), **places)))
            journals.append((begun() / "trials.jsonl").read_text())
            killed.append(Begins(begun() / "trials" / "000", 0).killed)
            passed = not (begun() / BEFORE).exists()
        deaths.append(died_of(lambda: flow.resume(begun(), **places)))
        outcome = read_outcome(begun() / "result.json")
    return Story(deaths, journals, killed, said_outside, refusals, ending, passed, outcome, begun())


def test_a_trial_that_crashes_the_run_twice_has_failed_and_the_run_goes_on(story):
    assert story.deaths[3:] == [signal.SIGSEGV, signal.SIGSEGV, 0]
    rows = {row.number: row for row in story.outcome.trials}
    assert (rows[0].status, rows[1].status) == ("failed", "ok") and story.outcome.best.trial == 1
    reason = rows[0].reason
    assert reason.startswith("SIGSEGV ended the process that worked on it, at test_last_words.py:")
    assert reason.endswith("in judged_file")
    log = (story.directory / "run.log").read_text()
    for attempt in (0, 1):
        assert f"trial 0, attempt {attempt} crashed its process\n    Fatal Python error: Segmentation fault" in log
    assert not list(story.directory.rglob("crash*"))


def test_an_attempt_that_is_killed_has_not_failed(story):
    _, after_kill, after_crash = story.journals

    assert story.deaths[2] == signal.SIGKILL
    assert '"attempt-failed"' not in after_kill  # of the process after it, which began the same attempt again
    assert after_crash.count('"attempt-failed"') == 1
    assert story.killed == [
        0,
        1,
        1,
    ]  # counted only since the L step that the first has saved; the last was in attempt 1
    assert not list(story.directory.rglob("begun*"))


def test_a_crash_outside_trials_is_told_by_the_process_that_goes_on(story):
    assert story.deaths[:2] == [signal.SIGABRT] * 2
    stage = "measuring the objective before the search"
    assert story.said_outside.startswith(f"{stage}\nFatal Python error: Aborted") and "<lambda>" in story.said_outside
    log = (story.directory / "run.log").read_text()
    assert log.count(f"SIGABRT ended the process before while it was {stage}, at test_last_words.py:") == 1
    assert "is tried once more" in log and log.count("    Fatal Python error: Aborted") == 3  # and of both refusals
    assert story.passed


def test_a_second_crash_at_the_same_stage_is_refused_until_somebody_says_to_try_again(story):
    first, second = story.refusals

    assert str(first) == str(second) and first.exit_code == 4
    assert first.message.startswith("two processes in a row crashed while they were measuring the objective before")
    assert "the last by SIGABRT at test_last_words.py:" in first.message and "in <lambda>" in first.message
    assert "start a new run with other code, data or recipe; or, where" in first.hint
    assert f"remove {story.directory / CRASH}, then continue with: condensa resume " in first.hint
    assert (story.ending.status, story.ending.exit_code) == ("failed", 4)


def crash_while(stage, directory, said):
    """The signal that ends a process in this stage, the crashes of which before are told to `said`."""

    def work():
        with stages_told(directory, said.append) as entering:
            entering(stage)
            os.abort()

    return died_of(work)


@pytest.mark.parametrize(
    ("reached", "again"),
    [([], False), ([Stage.READING, Stage.JUDGING], False), ([Stage.READING, Stage.CONCLUSION], True)],
)
def test_a_stage_that_was_passed_since_its_crash_may_crash_once_more(tmp_path, reached, again):
    said, directory = [], RunDirectory(tmp_path, None)
    assert crash_while(Stage.JUDGING, directory, said) == signal.SIGABRT
    with pytest.raises(KeyError), stages_told(directory, said.append) as entering:
        for stage in reached:
            entering(stage)
        raise KeyError

    assert len(said) == 1 and "while it was exporting and judging the reference" in said[0].message
    assert crash_while(Stage.JUDGING, directory, said) == signal.SIGABRT

    with nullcontext() if again else pytest.raises(RunFailed), stages_told(directory, said.append):
        assert len(said) == 2


def test_a_crash_at_another_stage_is_tried_again(tmp_path):
    said, directory = [], RunDirectory(tmp_path, None)
    for stage in (Stage.CONCLUSION, Stage.READING):
        assert crash_while(stage, directory, said) == signal.SIGABRT

    with stages_told(directory, said.append):
        pass

    assert "reading the data" in said[0].message and not list(tmp_path.glob("crash*"))


def test_the_innermost_block_has_the_word_and_a_block_that_ends_takes_it_back(tmp_path):
    outer, inner = tmp_path / "outer.txt", tmp_path / "deep" / "inner.txt"

    def inside():
        with leaving_last_words(outer, "a run"), leaving_last_words(inner, "a\ntrial"):
            os.abort()

    def after():
        with leaving_last_words(outer, "a run"):
            with pytest.raises(KeyError), leaving_last_words(inner, "a trial"):
                raise KeyError
            os.kill(os.getpid(), signal.SIGFPE)

    assert died_of(inside) == signal.SIGABRT
    assert last_words(outer, "a run") is None
    words = last_words(inner, "a trial")
    assert words.signal == "SIGABRT" and words.place.endswith("in inside")
    assert last_words(inner, "another trial") is None
    assert died_of(after) == signal.SIGFPE
    assert last_words(outer, "a run").signal == "SIGFPE" and not inner.exists()


def test_a_file_that_cannot_be_made_costs_the_words_only(tmp_path):
    (tmp_path / "file").touch()

    with leaving_last_words(tmp_path / "file" / "crash.txt", "a run"):
        done = True

    assert done and last_words(tmp_path / "file" / "crash.txt", "a run") is None
