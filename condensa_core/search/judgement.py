"""How far a measured metric can be believed to hold its bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from condensa_core.search.belief import Belief
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem

_CLEAR_MISS_SD = 1.0  # a miss by less closes nothing: a stronger setting may still pass
_CLEAR_PASS = 0.9  # what a clear pass is trusted at least, whatever a smooth model makes of a cliff


@dataclass(frozen=True)
class Judged:
    """A successful observation, judged against the level in the light of all of them.

    `units` is its place in the unit cube; `margin` the metric's distance to the level, positive where the bound holds;
    `probability` that of the noise-free metric holding it, `trust` the same but at least 0.9 for a clear pass; `gain`
    that of the objective over the reference's; `worth` what it is worth to ship, the objective over the reference's
    times the square root of the trust.
    """

    observation: Observation
    units: tuple[float, ...]
    margin: float
    probability: float
    gain: float
    holds: bool
    fails: bool
    trust: float
    worth: float


def judge(problem: LevelProblem, observations: Sequence[Observation], belief: Belief | None) -> tuple[Judged, ...]:
    """The successful observations in their order; `belief` may be None when there is none.

    Which of them hold is the problem's `Confidence`; an aborted trial never does. One fails when its metric misses the
    level by more than 1 sd. In between nothing is known yet.
    """
    known = [(o, o.metric) for o in observations if o.metric is not None]
    if not known:
        return ()
    assert belief is not None
    units = [problem.units(o.point) for o, _ in known]
    judged = []
    for (o, metric), at, p in zip(known, units, belief.probability_feasible(np.array(units)).tolist(), strict=True):
        margin, sd = problem.margin(metric), problem.sd(o)
        objective = problem.objective(o)
        gain = 0.0 if objective is None else problem.profile.gain(objective, problem.profile.reference)
        holds = o.status == "ok" and problem.confidence.holds(margin, sd, p)
        fails = margin < -_CLEAR_MISS_SD * sd
        trust = max(p, _CLEAR_PASS) if problem.confidence.clears(margin, sd) else p
        judged.append(Judged(o, at, margin, p, gain, holds, fails, trust, (1 + gain) * math.sqrt(trust)))
    return tuple(judged)


def incumbent(judged: Sequence[Judged]) -> Judged | None:
    """Of those that hold the one worth most, or None when none beats the reference.

    Not the one with the best objective: of two that hardly differ in it, the likelier to hold. Nor the one with the
    best expectation: all that is considered holds by the problem's confidence already, and where records are far apart,
    as on staircases, weighing by P itself gave up much of the objective for little certainty.
    """
    return max((j for j in judged if j.holds and j.gain > 0), key=lambda j: (j.worth, j.gain), default=None)
