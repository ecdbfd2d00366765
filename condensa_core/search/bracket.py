"""Between which two settings the level must lie, if the metric falls with strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from condensa_core.search.observation import Observation
from condensa_core.search.problem import LevelProblem

# A miss by less than this many standard deviations closes nothing: a second look above it may still pass.
_CLEAR_MISS_SD = 1.0


@dataclass(frozen=True)
class Bracket:
    """The strongest setting known to hold and the mildest stronger one known to fail, as unit coordinates.

    `feasible` is 0 (the reference) and `infeasible` None while no trial says otherwise.
    """

    feasible: float
    infeasible: float | None

    def contains(self, unit: float) -> bool:
        """Whether a setting lies strictly inside."""
        return self.feasible < unit and (self.infeasible is None or unit < self.infeasible)


def bracket_of(problem: LevelProblem, observations: Sequence[Observation]) -> Bracket:
    """The bracket these observations leave open.

    A miss at a milder setting than a success is a dip or bad luck, not the level: it is ignored, as are failed trials
    and misses within one standard deviation of the level.
    """
    margins = [(problem.unit(o), problem.margin(o.metric), problem.sd(o)) for o in observations if o.metric is not None]
    feasible = max((unit for unit, margin, _ in margins if margin >= 0), default=0.0)
    misses = (unit for unit, margin, sd in margins if margin < -_CLEAR_MISS_SD * sd and unit > feasible)
    return Bracket(max(feasible, 0.0), min(misses, default=None))
