"""How far a measured metric can be believed to hold its bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem

if TYPE_CHECKING:
    from condensa_core.search.surrogate import Surrogate

_ENOUGH_PROBABILITY = 0.7
_CLEAR_PASS_SD = 1.5  # a cliff makes the smooth model distrust points that were measured well
_CLEAR_MISS_SD = 1.0  # a miss by less closes nothing: a stronger setting may still pass


@dataclass(frozen=True)
class Judged:
    """A successful observation, judged against the level in the light of all of them.

    `unit` is its place between the reference (0) and the strongest setting (1); `margin` the metric's distance to the
    level, positive where the bound holds; `probability` that of the noise-free metric holding it; `gain` that of the
    objective over the reference's.
    """

    observation: Observation
    unit: float
    margin: float
    probability: float
    gain: float
    holds: bool
    fails: bool


def judge(
    problem: LevelProblem, observations: Sequence[Observation], surrogate: Surrogate | None
) -> tuple[Judged, ...]:
    """The successful observations in their order; `surrogate` is None only when there is none.

    One holds when its metric is at the level or better and either P >= 0.7 or the metric is better by 1.5 sd: the
    strongest of many noisy readings near the level tends to be a lucky one, and P(feasible) given all of them tells.
    One fails when its metric misses the level by more than 1 sd. In between nothing is known yet.
    """
    known = [(o, o.metric) for o in observations if o.metric is not None]
    if not known:
        return ()
    assert surrogate is not None
    units = [problem.unit(o) for o, _ in known]
    judged = []
    for (o, metric), unit, p in zip(known, units, surrogate.probability_feasible(units), strict=True):
        margin, sd = problem.margin(metric), problem.sd(o)
        objective = problem.objective(o)
        gain = 0.0 if objective is None else problem.profile.gain(objective, problem.profile.reference)
        holds = margin >= 0 and (p >= _ENOUGH_PROBABILITY or margin >= _CLEAR_PASS_SD * sd)
        judged.append(Judged(o, unit, margin, p, gain, holds, fails=margin < -_CLEAR_MISS_SD * sd))
    return tuple(judged)


def incumbent(judged: Sequence[Judged]) -> Judged | None:
    """The one that holds with the best objective; equal ones: the likelier; None when none beats the reference."""
    return max((j for j in judged if j.holds and j.gain > 0), key=lambda j: (j.gain, j.probability), default=None)
