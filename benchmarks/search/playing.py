"""A strategy plays a task through the public ask/tell interface, and what it says is held against the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from curves import STRONGEST, Task
from staircases import SETTINGS, StairTask

from condensa_core.randomness import Seed
from condensa_core.search import (
    Knob,
    LevelProblem,
    ObjectiveProfile,
    Observation,
    Point,
    Search,
    Space,
    Strategy,
    Told,
    belief_of,
    strategy_named,
)

CHECKED: Final = (3, 4, 5, 6, 8, 10, 12)  # runs after which a search is held against the truth
KNOB: Final = Knob("sparsity", range=(0.0, STRONGEST))
_PROBED = np.linspace(-0.5, 0.5, 41)  # around the crossing in t, where calibration is judged
_PROBABILITY_BINS = (0.1, 0.3, 0.5, 0.7, 0.9)


class Unstopped:
    """A strategy that goes on while it has proposals; the benchmark reads its stop rule instead of obeying it."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def propose(self, told: Told, count: int) -> tuple[Point, ...]:
        return self.strategy.propose(told, count)

    def finished(self, told: Told) -> str | None:
        return None


@dataclass(frozen=True)
class Contender:
    """A strategy under the name it has in the tables, as `strategy_named` makes it."""

    name: str
    method: str
    options: dict[str, Any]

    @classmethod
    def named(cls, name: str) -> Contender:
        """ "method" or "method:option=value,..."; "method:raw" is short for coordinates=raw."""
        method, _, rest = name.partition(":")
        options: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            key, _, value = part.partition("=") if "=" in part else ("coordinates", "=", part)
            options[key] = float(value) if value.replace(".", "", 1).isdigit() else value
        return cls(name, method, options)

    def strategy(self, problem: LevelProblem, seed: int, trials: int) -> Strategy:
        return strategy_named(self.method, problem, seed=Seed(seed), trials=trials, **self.options)


def problem_of(task: Task, *, noise_told: bool = True) -> LevelProblem:
    """The task as a search sees it: the objective over the knob, the level, the reference, and the noise if told."""
    values = KNOB.grid(SETTINGS)
    throughputs = task.throughput(np.array(values, dtype=np.float64))
    profile = ObjectiveProfile.measured(KNOB, zip(values, throughputs.tolist(), strict=True), 1.0, name="throughput")
    return LevelProblem(
        Space((KNOB,)), profile, task.level, task.curve.reference, noise_sd=task.noise if noise_told else None
    )


def play(contender: Contender, task: Task, *, runs: int = max(CHECKED), noise_told: bool = True) -> dict[str, Any]:
    """JSON values: standings after each number of runs in `CHECKED`, where the stop rule would have ended, CPU seconds.

    A strategy that divides the knob by the number of trials plays anew for each.
    """
    problem = problem_of(task, noise_told=noise_told)
    if contender.method == "grid":
        plays = [_Play(contender, task, problem, count) for count in CHECKED if count <= runs]
        by_count = {str(p.runs): p.standing() for p in (play.to_its_end() for play in plays)}
        return {"standings": by_count, "stop": None, "cpu_s": plays[-1].cpu_s, "tried": plays[-1].tried}
    played = _Play(contender, task, problem, runs)
    standings: dict[str, Any] = {}
    stop: dict[str, Any] | None = None
    while played.step():
        count = len(played.tried)
        stops = stop is None and played.finished is not None
        if count not in CHECKED and not stops:
            continue
        standing = played.standing()
        if count in CHECKED:
            standings[str(count)] = standing
        if stops:
            stop = {"runs": count, "reason": played.finished, **standing}
    last = played.standing()
    for count in CHECKED:  # a search without further proposals stands where it ended
        standings.setdefault(str(count), last)
    stop = stop or {"runs": len(played.tried), "reason": "the last run", **last}
    records = len(problem.records)
    return {"standings": standings, "stop": stop, "cpu_s": played.cpu_s, "tried": played.tried, "records": records}


class _Play:
    """One search on one task."""

    def __init__(self, contender: Contender, task: Task, problem: LevelProblem, runs: int) -> None:
        self.task = task
        self.problem = problem
        self.runs = runs
        self.strategy = contender.strategy(problem, task.index, runs)
        self.search = Search(problem, Unstopped(self.strategy), budget=runs)
        self.tried: list[float] = []
        self.cpu_s: list[float] = []
        self.finished: str | None = None
        self._next = self._ask()

    def to_its_end(self) -> _Play:
        while self.step():
            pass
        return self

    def step(self) -> bool:
        """Try the next point and choose the one after it; False when there is none."""
        if not self._next:
            return False
        (point,) = self._next
        sparsity = float(point[KNOB.name])
        self.search.tell(point, self.task.reading(sparsity))
        self.tried.append(sparsity)
        self._next = self._ask()
        return True

    def _ask(self) -> tuple[Point, ...]:
        begun = time.process_time()
        self.finished = self.strategy.finished(Told(self.search.observations))
        points = self.search.ask()
        self.cpu_s.append(round(time.process_time() - begun, 4))
        return points

    def standing(self) -> dict[str, Any]:
        """What the search says now, by its own rule and by the plain one, held against the truth."""
        observations = self.search.observations
        said = self.search.recommend()
        estimate = STRONGEST if said.crossing is None else float(said.crossing)
        returned = float(said.point[KNOB.name]) if said.feasible and said.point is not None else 0.0
        plain = _plainly(self.task, observations)
        return {
            "error": abs(estimate - self.task.crossing),
            "probability": said.probability,
            **judged(self.task, returned),
            "plain": {"error": abs(plain[0] - self.task.crossing), **judged(self.task, plain[1])},
            **self._calibration(observations),
        }

    def _calibration(self, observations: Sequence[Observation]) -> dict[str, Any]:
        """Brier score of P(feasible) near the crossing, and per bin of P how many points there are and hold."""
        s = -np.expm1(-(-math.log1p(-self.task.crossing) + _PROBED))
        s = s[(s > 0) & (s <= STRONGEST)]
        units = np.array([[KNOB.unit(float(x))] for x in s])
        probability = belief_of(self.problem, observations, Seed()).probability_feasible(units)
        holds = self.task.curve(s) >= self.task.level
        where = np.digitize(probability, _PROBABILITY_BINS)
        count = [int((where == i).sum()) for i in range(len(_PROBABILITY_BINS) + 1)]
        held = [int(holds[where == i].sum()) for i in range(len(_PROBABILITY_BINS) + 1)]
        return {"brier": float(np.mean((probability - holds) ** 2)), "bins": [count, held]}


def judged(task: Task, returned: float) -> dict[str, Any]:
    """A returned sparsity (0: the reference) on the noise-free curve.

    `regret` is what is lost of the best feasible throughput; `loss` is the same, or what the best gains over the
    reference when the returned point is truly infeasible: a searcher who ships that has to go back to the reference.
    """
    best = best_throughput(task)
    infeasible = returned > 0 and float(task.curve(returned)) < task.level
    regret = (best - float(task.throughput(returned))) / best
    return {
        "returned": returned,
        "regret": None if infeasible else regret,
        "infeasible": infeasible,
        "miss": max(task.level - float(task.curve(returned)), 0.0),
        "loss": 1 - 1 / best if infeasible else regret,
    }


def best_throughput(task: Task) -> float:
    """The best that any search could have returned: at the crossing, on a staircase at a setting below it."""
    if not isinstance(task, StairTask):
        return float(task.throughput(task.crossing))
    values = np.array([0.0, *KNOB.grid(SETTINGS)])
    return float(task.throughput(values[task.curve(values) >= task.level]).max())


def _plainly(task: Task, observations: Sequence[Observation]) -> tuple[float, float]:
    """Without any model: the middle (in t) of the last that held and the first beyond that did not; and the former."""
    tried = sorted((float(o.point[KNOB.name]), o.metric) for o in observations if o.metric is not None)
    holds = max((s for s, metric in tried if metric >= task.level), default=0.0)
    fails = min((s for s, metric in tried if metric < task.level and s > holds), default=STRONGEST)
    return 1 - math.sqrt((1 - holds) * (1 - fails)), holds
