"""Ask, evaluate, write down, tell: the conductor of a search."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from condensa_core.errors import RunFailed
from condensa_core.progress import Listener, TrialEnded, TrialStarted, silent
from condensa_core.search.journal import Journal
from condensa_core.search.observation import Observation, Reading, Trial
from condensa_core.search.return_rule import Recommendation
from condensa_core.search.search import AskTell
from condensa_core.search.space import Point, point_key

Evaluate = Callable[[Trial], Reading]
Ended = Callable[[int], None]

_ATTEMPTS = 2  # a run that diverged once deserves another seed; twice is the setting's fault


def find_level(
    evaluate: Evaluate,
    search: AskTell,
    journal: Journal,
    *,
    parallel: int = 1,
    timeout_s: float | None = None,
    listener: Listener = silent,
    ended: Ended = lambda number: None,
) -> Recommendation:
    """Run the search to its end and give its recommendation.

    `evaluate` is called with a numbered trial and gives its reading. When it raises RunFailed, or reads a number that
    is not finite, the trial is tried once more as attempt 1 and then marked failed. Everything else it raises
    (Interrupted above all) passes through; the trial stays open in the journal and is asked for again, under the same
    number and attempt, by the next call with this journal. `parallel` is how many trials are open at once; they are
    evaluated one after the other, in the order of asking. Finished trials in the journal are told to the search first
    and never evaluated again. No trial starts after `timeout_s` of evaluation time, earlier calls included.
    `ended` is called with the number of every finished trial, earlier ones included, once the journal holds it for
    good: what it takes to go on with that trial is not needed any more.
    """
    history = _History.of(journal)
    finished = history.finished.values()
    open_points = [dict(trial.point) for trial in history.open.values()]
    search.restore({"observations": [o.to_record() for o in finished], "pending": open_points})
    for number, observation in history.finished.items():
        ended(number)
        listener(TrialEnded(number, "reused", _figures(observation)))
    while timeout_s is None or history.spent_s < timeout_s:
        if len(search.pending) < parallel:
            _open(search.ask(parallel - len(search.pending)), journal, history)
        if not search.pending:
            break
        trial = history.open[point_key(search.pending[0])]
        search.tell_observation(_finish(trial, evaluate, search.budget, journal, history, listener, ended))
    return replace(search.recommend(), stopped=search.stopped() or f"the time limit of {timeout_s:g} s is spent")


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
    spent_s: float = 0.0

    @classmethod
    def of(cls, journal: Journal) -> _History:
        history = cls()
        for entry in journal.entries:
            if entry.kind == "trials-opened":
                for trial in entry.payload["trials"]:
                    history.opened(Trial(trial["number"], trial["point"], trial["attempt"]))
            elif entry.kind == "trial-started":
                history.opened(Trial(entry.payload["number"], entry.payload["point"], entry.payload["attempt"]))
            elif entry.kind == "attempt-failed":
                history.opened(Trial(entry.payload["number"], entry.payload["point"], entry.payload["attempt"] + 1))
                history.spent_s += entry.payload["wall_s"]
            elif entry.kind == "trial-ended":
                observation = Observation.from_record(entry.payload["observation"])
                history.ended(entry.payload["number"], observation, entry.payload["wall_s"])
        return history

    def opened(self, trial: Trial) -> None:
        self.open[point_key(trial.point)] = trial
        self.next_number = max(self.next_number, trial.number + 1)

    def ended(self, number: int, observation: Observation, wall_s: float) -> None:
        self.open.pop(point_key(observation.point), None)
        self.finished[number] = observation
        self.spent_s += wall_s


def _finish(
    trial: Trial,
    evaluate: Evaluate,
    budget: int,
    journal: Journal,
    history: _History,
    listener: Listener,
    ended: Ended,
) -> Observation:
    """Attempt the trial until it reads or has no attempt left; journalled before and after each attempt."""
    listener(TrialStarted(trial.number, budget, trial.point))
    while True:
        filed = _filed(trial)
        journal.append("trial-started", filed)
        begun = time.monotonic()
        observation = _attempt(trial, evaluate)
        wall_s = time.monotonic() - begun
        if observation.status == "ok" or trial.attempt + 1 >= _ATTEMPTS:
            break
        lost = {"failure": observation.failure, "details": dict(observation.details), "wall_s": wall_s}
        journal.append("attempt-failed", {**filed, **lost})
        history.spent_s += wall_s
        trial = Trial(trial.number, trial.point, trial.attempt + 1)
        history.opened(trial)
    journal.append("trial-ended", {**filed, "observation": observation.to_record(), "wall_s": wall_s})
    history.ended(trial.number, observation, wall_s)
    ended(trial.number)
    listener(TrialEnded(trial.number, observation.status, _figures(observation)))
    return observation


def _filed(trial: Trial) -> dict[str, Any]:
    return {"number": trial.number, "attempt": trial.attempt, "point": dict(trial.point)}


def _attempt(trial: Trial, evaluate: Evaluate) -> Observation:
    try:
        return Observation.of(trial.point, evaluate(trial))
    except RunFailed as err:
        return Observation.failed(trial.point, str(err), err.details)


def _figures(observation: Observation) -> Mapping[str, float | int | str | bool | None]:
    figures: dict[str, float | int | str | bool | None] = dict(observation.point)
    if observation.status == "failed":
        return {**figures, "failure": observation.failure}
    figures["metric"] = observation.metric
    if observation.objective is not None:
        figures["objective"] = observation.objective
    return figures
