"""All that is known of a search over one knob at one moment, as plain numbers for whoever draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from condensa_core.search.bracket import bracket_of
from condensa_core.search.coordinates import Floats, collapse
from condensa_core.search.judgement import Judged, incumbent, judge
from condensa_core.search.observation import Observation
from condensa_core.search.one_knob_belief import one_knob_belief
from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import ObjectiveProfile
from condensa_core.search.space import Point, Value, point_key

State = Literal["holds", "narrow", "breaks", "aborted", "failed"]

_PLACES: Final = 121  # of the posterior, from the reference to the strongest value
_MARKS: Final = 400  # values whose place on the axis is given; between them it is as good as straight
_SHARES: Final = (0.95, 0.8)


@dataclass(frozen=True)
class Band:
    """Where the noise-free metric lies with probability `share`: n metrics each; `low` <= `high`."""

    share: float
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Trained:
    """A finished trial: it holds the bound with confidence, meets it too narrowly, breaks it, was given up with an
    expected metric, or gave none.

    `number` is the trial's own. `factor` is its objective as a multiple of the reference's, larger = better.
    """

    number: int
    unit: float
    value: Value
    metric: float | None
    sd: float | None
    factor: float | None
    state: State


@dataclass(frozen=True)
class Portrait:
    """A search over one knob after some trials; `units` are unit coordinates of the knob (0: the reference model).

    `marks` pairs unit coordinates with knob values, mild to strong. `median` and the `bands` are the posterior of the
    noise-free metric at the n `units`, widest band first. `settings` are the objectives of untrained candidates as
    (unit, multiple of the reference's), larger = better; `records` those that beat every milder one. `bracket` is what
    holds (0: the reference) and what fails (None: nothing yet), `crossing` where the level is as likely met as not
    (None: nowhere on the knob), `waiting` the places of pending trials, `best` that of the trial to ship now. `trained`
    keeps the order of the observations.
    """

    knob: str
    marks: tuple[tuple[float, Value], ...]
    units: tuple[float, ...]
    median: tuple[float, ...]
    bands: tuple[Band, ...]
    level: float
    reference: float
    drop: float
    better: Literal["higher", "lower"]
    bracket: tuple[float, float | None]
    crossing: float | None
    trained: tuple[Trained, ...]
    waiting: tuple[float, ...]
    objective: str
    best: float | None
    settings: tuple[tuple[float, float], ...]
    records: tuple[tuple[float, float], ...]

    def height(self, metric: float) -> float:
        """asinh of the metric's distance to the level over the drop: the coordinate the posterior is smooth in."""
        return collapse(metric - self.level, self.drop)

    def metric_at(self, height: float) -> float:
        """The metric of a `height`."""
        return self.level + self.drop * math.sinh(height)


def portrait(
    problem: LevelProblem,
    observations: Sequence[Observation],
    pending: Sequence[Point] = (),
    *,
    numbers: Sequence[int] | None = None,
) -> Portrait:
    """What `observations` say of a problem with one knob; whatever strategy chose them.

    `numbers` are those of the trials, one per observation; by default they count from 0.
    """
    knob, profile = problem.knob, problem.profile
    assert isinstance(profile, ObjectiveProfile)  # there is one knob
    belief = one_knob_belief(problem, observations)
    judged = judge(problem, observations, belief)
    units = np.linspace(0.0, 1.0, _PLACES)
    tails = [(1 - share) / 2 for share in _SHARES]
    shares = [0.5, *(edge for tail in tails for edge in (tail, 1 - tail))]
    median, *edges = (_metrics(problem, z) for z in belief.posterior.quantiles(units * knob.reach, shares))
    bands = []
    for share, pair in zip(_SHARES, zip(edges[::2], edges[1::2], strict=True), strict=True):
        low, high = pair if problem.better == "higher" else pair[::-1]
        bands.append(Band(share, low, high))
    best, bracket, crossing = incumbent(judged), bracket_of(judged), belief.crossing()
    states = {point_key(j.observation.point): _state(j) for j in judged}

    def factor(objective: float) -> float:
        return 1 + profile.gain(objective, profile.reference)

    def trained(number: int, o: Observation) -> Trained:
        objective = problem.objective(o)
        state: State = "failed" if o.metric is None else states[point_key(o.point)]
        sd = None if o.metric is None else problem.sd(o)
        gained = None if objective is None else factor(objective)
        return Trained(number, problem.units(o.point)[0], o.point[knob.name], o.metric, sd, gained, state)

    measured = [(knob.unit(s.value), s.objective) for s in profile.settings]
    return Portrait(
        knob=knob.name,
        marks=tuple((knob.unit(value), value) for value in knob.grid(_MARKS)),
        units=tuple(units.tolist()),
        median=median,
        bands=tuple(bands),
        level=problem.level,
        reference=problem.reference_metric,
        drop=problem.drop,
        better=problem.better,
        bracket=(bracket.holds, bracket.fails),
        crossing=None if crossing > 1 else crossing,
        trained=tuple(map(trained, range(len(observations)) if numbers is None else numbers, observations)),
        objective=profile.name,
        waiting=tuple(problem.units(point)[0] for point in pending),
        best=None if best is None else best.units[0],
        settings=tuple((unit, factor(objective)) for unit, objective in measured if objective is not None),
        records=tuple((knob.unit(record.value), factor(record.objective)) for record in problem.records),
    )


def _state(judged: Judged) -> State:
    if judged.observation.status == "aborted":
        return "aborted"
    if judged.holds:
        return "holds"
    return "narrow" if judged.margin >= 0 else "breaks"


def _metrics(problem: LevelProblem, z: Floats) -> tuple[float, ...]:
    """The metrics whose coordinates are z."""
    margins = problem.drop * np.sinh(z)
    return tuple((problem.level + (margins if problem.better == "higher" else -margins)).tolist())
