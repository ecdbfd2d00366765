"""What the finished trials say about settings that nobody trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from condensa_core.randomness import Seed
from condensa_core.search.coordinates import Floats
from condensa_core.search.observation import Observation
from condensa_core.search.one_knob_belief import one_knob_belief
from condensa_core.search.problem import LevelProblem


class Belief(Protocol):
    """A posterior of the noise-free metric over the unit cube, in the coordinate z = asinh(margin / drop)."""

    def probability_feasible(self, units: Floats) -> Floats:
        """P(the metric holds the level) at n points: n x d -> n."""
        ...

    def margins(self, units: Floats) -> tuple[Floats, Floats]:
        """Median and standard deviation of z at n points: n x d -> n and n; z = 0 is the level."""
        ...


def belief_of(problem: LevelProblem, observations: Sequence[Observation], seed: Seed) -> Belief:
    """What the successful ones of `observations`, and the reference, say. Equal arguments give an equal belief."""
    if len(problem.space.knobs) == 1:
        return one_knob_belief(problem, observations)
    from condensa_core.search.knob_gp import fit_knob_gp  # here: BoTorch takes seconds to load

    return fit_knob_gp(problem, observations, seed)
