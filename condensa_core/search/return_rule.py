"""Which trained candidate to ship: the best objective among those that hold the bound with confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from condensa_core.randomness import Seed
from condensa_core.search.bracket import bracket_of
from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem
from condensa_core.search.space import Point, Value

if TYPE_CHECKING:
    from condensa_core.search.surrogate import Surrogate

_ENOUGH_PROBABILITY = 0.7
_CLEAR_PASS_SD = 1.5  # a cliff makes the smooth model distrust points that were measured well


@dataclass(frozen=True)
class Recommendation:
    """The answer of a search.

    `point` is None when there is nothing to ship (no trial succeeded, or nothing beats the reference); with `feasible`
    False and a point it is the best effort, which breaks the bound or holds it too narrowly to trust. `probability` is
    that of the noise-free metric holding the bound at the point. `bracket` gives the strongest knob value known to
    hold (None: only the reference) and the mildest stronger one known to fail (None: none failed). `reason` says why
    the point was chosen, or why there is none; `stopped` why the search went no further.
    """

    point: Point | None
    feasible: bool
    probability: float | None
    bracket: tuple[Value | None, Value | None]
    reason: str
    observation: Observation | None = None
    trials: int = 0
    stopped: str = ""

    def to_record(self) -> Mapping[str, object]:
        """JSON values for the report, without the observation."""
        return {
            "point": None if self.point is None else dict(self.point),
            "feasible": self.feasible,
            "probability": self.probability,
            "bracket": list(self.bracket),
            "reason": self.reason,
            "trials": self.trials,
            "stopped": self.stopped,
        }


@dataclass(frozen=True)
class Judged:
    """An observation with the probability that its noise-free metric holds the level."""

    observation: Observation
    probability: float
    confident: bool
    gain: float  # of its objective over the reference


def judge(
    problem: LevelProblem, observations: Sequence[Observation], surrogate: Surrogate | None
) -> tuple[Judged, ...]:
    """The successful observations, judged: confident = metric at or above the level, and P >= 0.7 or by 1.5 sd.

    The second look at P(feasible) is what keeps lucky readings near the level from being shipped: "the strongest that
    measured feasible" is truly infeasible in a fifth to a third of noisy searches of ten trials.
    """
    known = [o for o in observations if o.metric is not None]
    if not known:
        return ()
    assert surrogate is not None
    probabilities = surrogate.probability_feasible([problem.unit(o) for o in known])
    judged = []
    for observation, probability in zip(known, probabilities, strict=True):
        assert observation.metric is not None
        margin, sd = problem.margin(observation.metric), problem.sd(observation)
        confident = margin >= 0 and (probability >= _ENOUGH_PROBABILITY or margin >= _CLEAR_PASS_SD * sd)
        objective = problem.objective(observation)
        gain = 0.0 if objective is None else problem.profile.gain(objective, problem.profile.reference)
        judged.append(Judged(observation, probability, confident, gain))
    return tuple(judged)


def surrogate_of(problem: LevelProblem, observations: Sequence[Observation], seed: Seed) -> Surrogate | None:
    """The fitted surrogate; None, without loading BoTorch, while no trial has succeeded."""
    if all(o.metric is None for o in observations):
        return None
    from condensa_core.search.surrogate import fit_surrogate  # here: BoTorch takes seconds to load

    return fit_surrogate(problem, observations, seed)


def incumbent(judged: Sequence[Judged]) -> Judged | None:
    """The confident candidate with the best objective; equal ones: the safer; None when none beats the reference."""
    eligible = [j for j in judged if j.confident and j.gain > 0]
    return max(eligible, key=lambda j: (j.gain, j.probability), default=None)


def recommend(
    problem: LevelProblem, observations: Sequence[Observation], surrogate: Surrogate | None
) -> Recommendation:
    """The incumbent, or else the best effort (highest probability, then nearest to the level), or nothing, with why."""
    records = problem.profile.records()
    if not records:
        reason = f"no setting on this grid has a better {problem.profile.name} than the reference"
        return Recommendation(None, False, None, (None, None), reason, None, len(observations))
    judged = judge(problem, observations, surrogate)
    bracket = _bracket_values(problem, observations)
    if not judged:
        failures = [o.failure for o in observations]
        reason = f"all {len(failures)} trials failed; the last: {failures[-1]}" if failures else "no trial was made"
        return Recommendation(None, False, None, bracket, reason, None, len(observations))
    best = incumbent(judged)
    if best is not None:
        reason = f"best {problem.profile.name} of the trials that hold the bound with confidence"
    else:
        best = max(judged, key=lambda j: (j.probability, problem.margin(j.observation.metric or 0.0)))
        reason = _why_infeasible(problem, judged)
    point, feasible = best.observation.point, incumbent(judged) is not None
    return Recommendation(point, feasible, best.probability, bracket, reason, best.observation, len(observations))


def _why_infeasible(problem: LevelProblem, judged: Sequence[Judged]) -> str:
    if any(j.confident for j in judged):
        return f"no trial that holds the bound has a better {problem.profile.name} than the reference"
    nearest = max(problem.margin(j.observation.metric) for j in judged if j.observation.metric is not None)
    if nearest < 0:
        return f"no trial holds the bound; the nearest misses it by {-nearest:.4g}"
    return "trials hold the bound, but too narrowly for their noise to be trusted"


def _bracket_values(problem: LevelProblem, observations: Sequence[Observation]) -> tuple[Value | None, Value | None]:
    """The bracket's ends as the knob values that were tried."""
    bracket = bracket_of(problem, observations)
    tried = {problem.unit(o): o.point[problem.knob.name] for o in observations if o.metric is not None}
    holds = tried.get(bracket.feasible) if bracket.feasible > 0 else None
    return holds, None if bracket.infeasible is None else tried[bracket.infeasible]
