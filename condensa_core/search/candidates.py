"""The points among which a search may choose."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from condensa_core.randomness import Seed
from condensa_core.search.designs import sobol_units
from condensa_core.search.problem import LevelProblem
from condensa_core.search.profile import ObjectiveProfile
from condensa_core.search.space import Point, point_key

_MOST = 1024  # candidates of several knobs: all combinations up to here, a space-filling sample beyond


def settings_of(problem: LevelProblem) -> tuple[Point, ...]:
    """The settings of one knob's profile, mild to strong; of several knobs all points, or a space-filling sample."""
    profile = problem.profile
    if isinstance(profile, ObjectiveProfile):
        return tuple({profile.knob.name: setting.value} for setting in profile.settings)
    space = problem.space
    grids = [knob.grid(_MOST) for knob in space.knobs]
    if math.prod(len(grid) for grid in grids) <= _MOST:
        return tuple(dict(zip(space.names, values, strict=True)) for values in itertools.product(*grids))
    return distinct(space.decode(place) for place in sobol_units(_MOST, len(space.knobs), Seed()).tolist())


def better_than_reference(problem: LevelProblem, points: Sequence[Point]) -> tuple[Point, ...]:
    """Those of `points` whose objective, measured or interpolated, beats the reference by more than noise."""
    profile = problem.profile
    if not points:
        return ()
    objectives = profile.estimate(np.array([problem.units(point) for point in points]))
    return tuple(
        point
        for point, objective in zip(points, objectives.tolist(), strict=True)
        if math.isfinite(objective) and profile.gain(objective, profile.reference) > profile.margin
    )


def distinct(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points without repetitions, in order of first appearance."""
    return tuple({point_key(point): point for point in points}.values())
