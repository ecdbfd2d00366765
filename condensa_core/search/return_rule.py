"""Which trained candidate to ship: the best objective among those that hold the bound with confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from condensa_core.randomness import Seed
from condensa_core.search.belief import belief_of
from condensa_core.search.bracket import bracket_of
from condensa_core.search.front import pareto_front
from condensa_core.search.judgement import Judged, incumbent, judge
from condensa_core.search.observation import Observation
from condensa_core.search.one_knob_belief import OneKnobBelief
from condensa_core.search.problem import LevelProblem
from condensa_core.search.space import Point, Value, point_key


@dataclass(frozen=True)
class Recommendation:
    """The answer of a search.

    `point` is None when there is nothing to ship (no trial succeeded, or nothing beats the reference); with `feasible`
    False and a point it is the best effort, which breaks the bound or holds it too narrowly to trust. `probability` is
    that of the noise-free metric holding the bound at the point. `bracket` gives the strongest knob value known to
    hold (None: only the reference) and the mildest stronger one known to fail (None: none failed). `reason` says why
    the point was chosen, or why there is none; `stopped` why the search went no further. `crossing` estimates the knob
    value where the metric meets its bound, trained or not (None: it does not up to the strongest setting).
    """

    point: Point | None
    feasible: bool
    probability: float | None
    bracket: tuple[Value | None, Value | None]
    reason: str
    observation: Observation | None = None
    trials: int = 0
    stopped: str = ""
    crossing: Value | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)  # of every trial's point_key
    front: tuple[Point, ...] = ()  # the best compromises between all objectives, or between objective and metric

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
            "crossing": self.crossing,
            "front": [dict(point) for point in self.front],
        }


def recommend(problem: LevelProblem, observations: Sequence[Observation]) -> Recommendation:
    """The incumbent, or else the best effort (measured to hold, then likeliest to), or nothing; with why.

    Whatever strategy chose the trials. With several knobs there is neither bracket nor crossing.
    """
    one_knob = len(problem.space.knobs) == 1
    if one_knob and not problem.records:
        return Recommendation(None, False, None, (None, None), nothing_better(problem), trials=len(observations))
    if all(o.status != "ok" for o in observations):
        last = observations[-1].failure if observations else ""
        reason = f"{_none_ended(observations)}; the last: {last}" if observations else "no trial was made"
        return Recommendation(None, False, None, (None, None), reason, trials=len(observations))
    # one seed for all strategies, so that the same trials get the same answer
    belief = belief_of(problem, observations, Seed())
    judged = judge(problem, observations, belief)
    best = incumbent(judged)
    finished = [j for j in judged if j.observation.status == "ok"]
    shown = best or max(finished, key=lambda j: (j.margin >= 0, j.probability, j.margin))
    bracket, crossing = _located(problem, judged, belief) if isinstance(belief, OneKnobBelief) else ((None, None), None)
    return Recommendation(
        point=shown.observation.point,
        feasible=best is not None,
        probability=shown.probability,
        bracket=bracket,
        reason=_why_infeasible(problem, judged) if best is None else _why_best(problem),
        observation=shown.observation,
        trials=len(observations),
        crossing=crossing,
        probabilities={point_key(j.observation.point): j.probability for j in judged},
        front=tuple(j.observation.point for j in pareto_front(problem, judged)),
    )


def _none_ended(observations: Sequence[Observation]) -> str:
    given_up = sum(o.status == "aborted" for o in observations)
    if given_up == 0:
        return f"all {len(observations)} trials failed"
    if given_up == len(observations):
        return f"all {given_up} trials were given up early"
    return f"no trial reached its end: {given_up} given up early, {len(observations) - given_up} failed"


def nothing_better(problem: LevelProblem) -> str:
    """Why there is nothing to search for when the profile has no records."""
    return f"no setting on this grid has a better {problem.profile.name} than the reference"


def _why_best(problem: LevelProblem) -> str:
    return f"best {problem.profile.name} of the trials that hold the bound with confidence"


def _why_infeasible(problem: LevelProblem, judged: Sequence[Judged]) -> str:
    if any(j.holds for j in judged):
        return f"no trial that holds the bound has a better {problem.profile.name} than the reference"
    nearest = max(j.margin for j in judged)
    if nearest < 0:
        return f"no trial holds the bound; the nearest misses it by {-nearest:.4g}"
    return "trials hold the bound, but too narrowly for their noise to be trusted"


def _located(
    problem: LevelProblem, judged: Sequence[Judged], belief: OneKnobBelief
) -> tuple[tuple[Value | None, Value | None], Value | None]:
    """The bracket as knob values, and the value where the metric is as likely to hold the bound as to break it."""
    bracket = bracket_of(judged)
    tried = {j.units[0]: j.observation.point[problem.knob.name] for j in judged}
    shown = tried.get(bracket.holds), None if bracket.fails is None else tried[bracket.fails]
    crossing = belief.crossing()
    return shown, None if crossing > 1 else problem.knob.value(crossing)
