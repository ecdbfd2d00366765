"""Ask, evaluate, write down, tell: the conductor of a search."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from condensa_core.errors import RunFailed
from condensa_core.progress import Listener, TrialEnded, TrialStarted, silent
from condensa_core.search.executors import Evaluate, Executor, InTurn
from condensa_core.search.journal import Entry, Journal
from condensa_core.search.observation import Observation, Trial
from condensa_core.search.return_rule import Recommendation
from condensa_core.search.search import AskTell
from condensa_core.search.space import Point, point_key

Ended = Callable[[int], None]
Briefing = Callable[[Sequence[Entry]], Mapping[str, Any]]

_ATTEMPTS = 2  # a run that diverged once deserves another seed; twice is the setting's fault


def find_level(
    evaluate: Evaluate | Executor,
    search: AskTell,
    journal: Journal,
    *,
    parallel: int = 1,
    timeout_s: float | None = None,
    spent_s: float = 0.0,
    listener: Listener = silent,
    ended: Ended = lambda number: None,
    briefing: Briefing = lambda entries: {},
) -> Recommendation:
    """Run the search to its end and give its recommendation.

    `evaluate` is called with a numbered trial and gives its reading, or is an Executor, which may have several trials
    under way. When it raises RunFailed, or reads a number that is not finite, the trial is tried once more as attempt 1
    and then marked failed. Everything else it raises (Interrupted above all) passes through; trials under way stay open
    in the journal and are started again, each under its number and attempt, by the next call with this journal.
    `parallel` is how many trials are open at once: as soon as one has ended the next is asked for. Open ones that find
    no room in the executor wait, in the order of asking. Finished trials in the journal are told to the search first,
    in the order in which they ended, and never evaluated again. No trial starts after `timeout_s` during which trials
    were under way, of which `spent_s` were spent before the search. Attempts that ended in earlier calls count; what
    was under way when a call was cut off does not, and a failed trial's second attempt starts whatever the time.
    `ended` is called with the number of every finished trial, earlier ones included, once the journal holds it for
    good: what it takes to go on with that trial is not needed any more. `briefing` makes the brief of an attempt from
    the journal before it; an attempt that is resumed keeps its brief.
    """
    executor = evaluate if isinstance(evaluate, Executor) else InTurn(evaluate)
    history = _History.of(journal)
    history.spent_s += spent_s
    finished = history.finished.values()
    open_points = [dict(trial.point) for trial in history.open.values()]
    search.restore({"observations": [o.to_record() for o in finished], "pending": open_points})
    for number, observation in history.finished.items():
        ended(number)
        listener(TrialEnded(number, "reused", _figures(observation)))
    running = _UnderWay(executor, journal, history, briefing)
    while True:
        if timeout_s is None or history.spent_s < timeout_s:
            if len(search.pending) < parallel:
                _open(search.ask(parallel - len(search.pending)), journal, history)
            for trial in running.next_of(search.pending):
                listener(TrialStarted(trial.number, search.budget, trial.point))
                running.start(trial)
        if not running.trials:
            break
        number, observation = running.finish()
        ended(number)
        listener(TrialEnded(number, observation.status, _figures(observation)))
        search.tell_observation(observation)
    stopped = search.stopped()
    if stopped is None:
        late = timeout_s is not None and history.spent_s >= timeout_s
        stopped = f"the time limit of {timeout_s:g} s is spent" if late else "nothing is left to propose"
    return replace(search.recommend(), stopped=stopped)


def _open(points: Sequence[Point], journal: Journal, history: _History) -> None:
    """Number new trials. Several are journalled as one record: a batch that was chosen together is resumed together."""
    trials = [Trial(history.next_number + i, point) for i, point in enumerate(points)]
    if len(trials) > 1:
        journal.append("trials-opened", {"trials": [_filed(trial) for trial in trials]})
    for trial in trials:
        history.opened(trial)


@dataclass
class _History:
    """What a journal says about trials; kept up to date while the loop adds to it."""

    finished: dict[int, Observation] = field(default_factory=dict)
    open: dict[str, Trial] = field(default_factory=dict)  # by point: not ended, or failed with an attempt left
    next_number: int = 0
    spent_s: float = 0.0  # with at least one trial under way

    @classmethod
    def of(cls, journal: Journal) -> _History:
        history = cls()
        for entry in journal.entries:
            if entry.kind == "trials-opened":
                for trial in entry.payload["trials"]:
                    history.opened(Trial(trial["number"], trial["point"], trial["attempt"]))
            elif entry.kind == "trial-started":
                begun = entry.payload
                history.opened(Trial(begun["number"], begun["point"], begun["attempt"], begun.get("brief", {})))
            elif entry.kind == "attempt-failed":
                history.opened(Trial(entry.payload["number"], entry.payload["point"], entry.payload["attempt"] + 1))
                history.spent_s += entry.payload["waited_s"]
            elif entry.kind == "trial-ended":
                observation = Observation.from_record(entry.payload["observation"])
                history.ended(entry.payload["number"], observation, entry.payload["waited_s"])
        return history

    def opened(self, trial: Trial) -> None:
        self.open[point_key(trial.point)] = trial
        self.next_number = max(self.next_number, trial.number + 1)

    def ended(self, number: int, observation: Observation, waited_s: float) -> None:
        self.open.pop(point_key(observation.point), None)
        self.finished[number] = observation
        self.spent_s += waited_s


class _UnderWay:
    """The trials an executor is busy with; every attempt is journalled before and after."""

    def __init__(self, executor: Executor, journal: Journal, history: _History, briefing: Briefing) -> None:
        self.trials: dict[int, float] = {}  # by number: when its attempt began
        self._executor, self._journal, self._history = executor, journal, history
        self._briefing = briefing
        self._since = 0.0  # the latest end, or the start of a trial that found no other under way

    def next_of(self, pending: Sequence[Point]) -> list[Trial]:
        """Those of the pending trials that there is room for now."""
        waiting = (self._history.open[point_key(point)] for point in pending)
        new = [trial for trial in waiting if trial.number not in self.trials]
        return new[: self._executor.capacity - len(self.trials)]

    def start(self, trial: Trial) -> None:
        if not trial.brief:
            trial = replace(trial, brief=self._briefing(self._journal.entries))
        self._journal.append("trial-started", {**_filed(trial), "brief": dict(trial.brief)})
        now = time.monotonic()
        if not self.trials:
            self._since = now
        self.trials[trial.number] = now
        self._executor.start(trial)

    def finish(self) -> tuple[int, Observation]:
        """The next trial that reads or has no attempt left; what fails before is started again."""
        while True:
            trial, answer = self._executor.wait()
            now = time.monotonic()
            times = {"wall_s": now - self.trials.pop(trial.number), "waited_s": now - self._since}
            self._since = now
            if isinstance(answer, RunFailed):
                observation = Observation.failed(trial.point, str(answer), answer.details)
            else:
                observation = Observation.of(trial.point, answer)
            filed = _filed(trial)
            if observation.status != "failed" or trial.attempt + 1 >= _ATTEMPTS:
                self._journal.append("trial-ended", {**filed, "observation": observation.to_record(), **times})
                self._history.ended(trial.number, observation, times["waited_s"])
                return trial.number, observation
            lost = {"failure": observation.failure, "details": dict(observation.details)}
            self._journal.append("attempt-failed", {**filed, **lost, **times})
            self._history.spent_s += times["waited_s"]
            trial = Trial(trial.number, trial.point, trial.attempt + 1)
            self._history.opened(trial)
            self.start(trial)


def _filed(trial: Trial) -> dict[str, Any]:
    return {"number": trial.number, "attempt": trial.attempt, "point": dict(trial.point)}


def _figures(observation: Observation) -> Mapping[str, float | int | str | bool | None]:
    figures: dict[str, float | int | str | bool | None] = dict(observation.point)
    if observation.status == "failed":
        return {**figures, "failure": observation.failure}
    figures["metric"] = observation.metric
    if observation.status == "aborted":
        figures["failure"] = observation.failure
    if observation.objective is not None:
        figures["objective"] = observation.objective
    return figures
