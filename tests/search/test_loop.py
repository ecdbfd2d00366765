"""The loop: every trial is journalled, none is repeated, and a killed search goes on as if nothing happened."""

from __future__ import annotations

import math

import pytest

from condensa_core.errors import Diverged, Interrupted, RunFailed
from condensa_core.progress import TrialEnded, TrialStarted
from condensa_core.search import (
    Bisection,
    Executor,
    GridSearch,
    Journal,
    LevelSetSearch,
    Reading,
    Search,
    find_level,
    read_journal,
)


class Killed(BaseException):
    """Stands for a process that dies: nothing may catch it."""


@pytest.fixture
def started(tmp_path, problem, cliff):
    """Run a search over the same journal with an evaluation that notes its trials."""

    def run(evaluate=None, budget=5, path=tmp_path / "trials.jsonl", strategy=None, **settings):
        curve, trials, events = cliff(0.8), [], []

        def noting(trial):
            trials.append(trial)
            return evaluate(trial) if evaluate else Reading(curve(trial.point["s"]), details={"steps": 3})

        search = Search(problem(), strategy or LevelSetSearch(problem()), budget=budget)
        with Journal(path, "f") as journal:
            try:
                found = find_level(noting, search, journal, listener=events.append, **settings)
            except (Killed, Interrupted) as err:
                found = err
        return found, trials, events

    return run


def test_trials_are_numbered_reported_and_kept_with_their_details(started, tmp_path):
    found, trials, events = started()

    assert [t.number for t in trials] == list(range(len(trials)))
    assert [e.number for e in events if isinstance(e, TrialStarted)] == [t.number for t in trials]
    assert [e.status for e in events if isinstance(e, TrialEnded)] == ["ok"] * len(trials)
    assert found.feasible and found.observation.details == {"steps": 3}
    assert found.stopped


def test_a_trial_is_said_to_have_ended_once_the_journal_holds_it_and_again_when_it_is_read(started, tmp_path):
    journal, told = tmp_path / "trials.jsonl", []

    def ended(number):
        _, entries = read_journal(journal)  # what a process that died now would leave
        assert [e.payload["number"] for e in entries if e.kind == "trial-ended"][-1] >= number
        told.append(number)

    _, trials, _ = started(ended=ended)
    first, told[:] = list(told), []
    started(ended=ended)

    assert first == told == [trial.number for trial in trials]


class OnlyOne:
    """A strategy that runs out of proposals without knowing it."""

    def propose(self, told, count):
        return () if told.observations else ({"s": 0.5},)

    def finished(self, told):
        return None


@pytest.mark.parametrize("timeout_s", [None, 3600.0])
def test_a_search_without_proposals_ends_and_blames_no_time_limit(started, timeout_s):
    found, trials, _ = started(strategy=OnlyOne(), timeout_s=timeout_s)

    assert len(trials) == 1 and found.stopped == "nothing is left to propose"


def test_finished_search_is_told_again_without_evaluating(started):
    before, trials, _ = started()

    after, repeated, events = started()

    assert repeated == []
    assert after == before
    assert [e.status for e in events] == ["reused"] * len(trials)


@pytest.mark.parametrize("dies_at", [0, 1, 3])
def test_killed_in_a_trial_continues_with_the_same_trials(started, tmp_path, cliff, dies_at):
    whole, expected, _ = started(path=tmp_path / "whole.jsonl")

    def dying(trial):
        if trial.number == dies_at:
            raise Killed
        return Reading(cliff(0.8)(trial.point["s"]), details={"steps": 3})

    cut, before, _ = started(dying)
    found, after, _ = started()

    assert isinstance(cut, Killed)
    assert before[:-1] + after == expected  # the open one again, under its own number; the finished ones never
    assert found == whole


def test_interruption_passes_and_leaves_the_trial_open(started):
    def interrupted(trial):
        raise Interrupted("stopped by the user")

    error, first, _ = started(interrupted)
    _, then, _ = started()

    assert isinstance(error, Interrupted)
    assert then[0] == first[0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_trial_is_tried_once_more(started, cliff, bad):
    def flaky(trial):
        if trial.number == 1 and trial.attempt == 0:
            if math.isnan(bad):
                raise Diverged("the loss became NaN at step 3")
            return Reading(bad)
        return Reading(cliff(0.8)(trial.point["s"]))

    found, trials, events = started(flaky)

    assert [(t.number, t.attempt) for t in trials[:4]] == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert trials[1].point == trials[2].point
    assert {e.status for e in events if isinstance(e, TrialEnded)} == {"ok"}
    assert found.feasible


def test_a_trial_that_fails_twice_is_marked_and_left(started, cliff):
    def failing(trial):
        if trial.number == 0:
            raise Diverged("the loss became NaN at step 3")
        return Reading(cliff(0.8)(trial.point["s"]))

    found, trials, events = started(failing)
    _, again, _ = started(failing)

    assert [(t.number, t.attempt) for t in trials[:3]] == [(0, 0), (0, 1), (1, 0)]
    ended = [e for e in events if isinstance(e, TrialEnded)]
    assert ended[0].status == "failed" and "step 3" in ended[0].values["failure"]
    assert found.feasible and found.trials == 5
    assert again == []


def test_killed_between_two_attempts_continues_with_the_second(started):
    def failing(trial):
        if trial.attempt == 1:
            raise Killed
        raise Diverged("NaN")

    started(failing)
    _, trials, _ = started()

    assert (trials[0].number, trials[0].attempt) == (0, 1)


def test_errors_of_the_program_pass_through(started):
    def buggy(trial):
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        started(buggy)


def test_time_limit_counts_the_time_of_earlier_calls(started, monkeypatch):
    clock = iter(range(0, 10_000, 50))  # each attempt takes 50 s
    monkeypatch.setattr("condensa_core.search.loop.time.monotonic", lambda: next(clock))

    found, trials, _ = started(timeout_s=120)
    again, more, _ = started(timeout_s=120)

    assert len(trials) == 3  # 0, 50 and 100 s are before the limit
    assert "time limit of 120 s" in found.stopped
    assert more == [] and again.point == found.point


def test_other_strategies_use_the_same_loop(started, problem):
    found, trials, _ = started(strategy=GridSearch(problem(count=20), count=5))

    assert len(trials) == 5
    assert found.stopped == "every listed setting was tried"


@pytest.mark.parametrize("dies_at", [0, 1, 2])
def test_a_batch_that_was_cut_short_is_asked_for_again_before_anything_new(started, problem, tmp_path, cliff, dies_at):
    def grid():
        return GridSearch(problem(count=20), count=5)

    def dying(trial):
        if trial.number == dies_at:
            raise Killed
        return Reading(cliff(0.8)(trial.point["s"]))

    _, expected, _ = started(strategy=grid(), parallel=3, path=tmp_path / "whole.jsonl")
    _, before, _ = started(dying, strategy=grid(), parallel=3)
    _, after, _ = started(strategy=grid(), parallel=3)

    assert before[:-1] + after == expected
    assert [t.number for t in after] == list(range(dies_at, 5))


class Several(Executor):
    """Has room for `capacity` trials and ends the one that `choose` picks among those under way."""

    def __init__(self, capacity, evaluate, choose=max):
        self.capacity, self._evaluate, self._choose = capacity, evaluate, choose
        self.under_way, self.most, self.began = {}, 0, []

    def start(self, trial):
        assert len(self.under_way) < self.capacity and trial.number not in self.under_way
        self.under_way[trial.number] = trial
        self.most = max(self.most, len(self.under_way))
        self.began.append((trial.number, trial.attempt))

    def wait(self):
        trial = self.under_way.pop(self._choose(self.under_way))
        try:
            return trial, self._evaluate(trial)
        except RunFailed as err:
            return trial, err


@pytest.fixture
def several(tmp_path, problem, cliff):
    """Run a search with an executor of some room over the same journal: what was found, the executor, the events."""

    def run(capacity, evaluate=None, strategy=None, budget=6, path=tmp_path / "trials.jsonl", choose=max, **settings):
        curve, events = cliff(0.8), []
        executor = Several(capacity, evaluate or (lambda trial: Reading(curve(trial.point["s"]))), choose)
        search = Search(problem(), strategy or LevelSetSearch(problem()), budget=budget)
        settings.setdefault("parallel", capacity)
        with Journal(path, "f") as journal:
            try:
                found = find_level(executor, search, journal, listener=events.append, **settings)
            except (Killed, Interrupted) as err:
                found = err
        return found, executor, events

    return run


@pytest.mark.parametrize("capacity", [2, 4])
def test_several_trials_are_under_way_until_the_budget_is_spent(several, tmp_path, capacity):
    found, executor, events = several(capacity)

    assert executor.most == capacity
    assert sorted(executor.began) == [(number, 0) for number in range(6)] and found.trials == 6
    ended = [e.number for e in events if isinstance(e, TrialEnded)]
    assert ended[0] == capacity - 1 and sorted(ended) == list(range(6))  # out of order, none lost
    first_end = next(i for i, e in enumerate(events) if isinstance(e, TrialEnded))
    assert [e.number for e in events[:first_end]] == list(range(capacity))
    assert isinstance(events[first_end + 1], TrialStarted)  # as soon as one ends the next begins


def test_a_first_batch_lies_at_the_quantiles(several, problem):
    _, _, events = several(3, strategy=Bisection(problem()), budget=3)

    curve = problem()
    units = [float(curve.units(e.knobs)[0]) for e in events if isinstance(e, TrialStarted)]
    assert sorted(units) == pytest.approx([0.25, 0.5, 0.75], abs=0.02)


def test_a_strategy_that_gives_one_point_at_a_time_is_waited_for(several, problem):
    class OneByOne(GridSearch):
        def propose(self, told, count):
            return () if told.pending else super().propose(told, 1)

    found, executor, _ = several(3, strategy=OneByOne(problem(count=20), count=4), budget=4)

    assert executor.most == 1 and found.trials == 4


def test_a_failed_attempt_is_started_again_beside_the_others(several, cliff):
    def flaky(trial):
        if trial.number == 2 or (trial.number, trial.attempt) == (1, 0):
            raise Diverged("NaN")
        return Reading(cliff(0.8)(trial.point["s"]))

    _, executor, events = several(2, flaky)

    assert {n: [a for number, a in executor.began if number == n] for n in range(4)} == {
        0: [0],
        1: [0, 1],
        2: [0, 1],
        3: [0],
    }
    assert {e.number: e.status for e in events if isinstance(e, TrialEnded)}[2] == "failed"
    assert [e.number for e in events if isinstance(e, TrialStarted)] == list(range(6))  # an attempt is no new trial


@pytest.mark.parametrize("resumed_with", [1, 2, 4])
def test_trials_under_way_are_started_again_whatever_their_number(several, cliff, resumed_with):
    calls = []

    def dying(trial):
        calls.append(trial.number)
        if len(calls) == 3:
            raise Killed
        return Reading(cliff(0.8)(trial.point["s"]))

    _, before, _ = several(2, dying)
    found, after, events = several(resumed_with)

    left = [number for number, _ in before.began if number not in calls[:2]]
    reused = [e.number for e in events if isinstance(e, TrialEnded) and e.status == "reused"]
    assert reused == calls[:2]  # told again in the order in which they ended
    assert len(left) == 2 and [number for number, _ in after.began][:2] == sorted(left)
    assert after.most == min(resumed_with, 4) and found.trials == 6


def test_the_time_limit_counts_no_second_twice(several, monkeypatch):
    clock = iter(range(0, 10_000, 50))  # 50 s between any two events
    monkeypatch.setattr("condensa_core.search.loop.time.monotonic", lambda: next(clock))

    found, executor, _ = several(2, timeout_s=120, choose=min)

    # starts at 0 and 50, the first end at 100, a third start at 150, the second end at 200: nothing starts after 120
    assert [number for number, _ in executor.began] == [0, 1, 2]
    assert found.trials == 3 and "time limit" in found.stopped
