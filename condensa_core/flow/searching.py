"""What the recipe's search has to solve, and the search that solves it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from condensa_core.flow.objective import Objective
from condensa_core.flow.profiling import profile
from condensa_core.flow.sensitivity import Readings, readings_of, sensitivity, told
from condensa_core.flow.surfaces import surface
from condensa_core.flow.trial import Judged
from condensa_core.flow.workbench import Bound, Workbench
from condensa_core.progress import Listener
from condensa_core.recipe import KnobSpec
from condensa_core.search import (
    AskTell,
    Confidence,
    ExpectedStrength,
    FixedPoint,
    Journal,
    Knob,
    LevelProblem,
    ObjectiveProfile,
    ObjectiveSurface,
    Observation,
    Search,
    Space,
    strategy_named,
)


@dataclass(frozen=True)
class Beforehand:
    """What a search knows before its first trial, besides the objective."""

    expected: tuple[ExpectedStrength, ...] = ()
    short_readings: tuple[Observation, ...] = ()
    short_s: float = 0.0  # that the short runs took

    def added_to(self, problem: LevelProblem) -> LevelProblem:
        """The problem with all of it."""
        return replace(problem, expected=self.expected or None, short_readings=self.short_readings)


NOTHING = Beforehand()


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a recipe's knobs before anything is trained: the objective, and of several knobs how much each
    damages the metric by itself."""

    objective: ObjectiveProfile | ObjectiveSurface
    sensitivity: Readings | None = None

    @property
    def space(self) -> Space:
        """The knobs of the recipe."""
        return Space((self.objective.knob,)) if isinstance(self.objective, ObjectiveProfile) else self.objective.space


def known_before(
    bench: Workbench, objective: Objective, reference: Judged, journal: Journal, listener: Listener
) -> Known | None:
    """What is known of the recipe's knobs: from the journal, or measured and written there. None without a knob."""
    names = bench.plan.space.names
    if not names:
        return None
    space = Space(tuple(search_knob(name, bench) for name in names))
    saved = journal.last("profile")
    if len(names) == 1:
        (knob,) = space.knobs
        if saved is not None:
            return Known(ObjectiveProfile.from_record(knob, saved))
        known = profile(bench, knob, objective, reference, listener)
        journal.append("profile", known.to_record())
        return Known(known)
    if saved is not None:
        measured = ObjectiveSurface.from_record(space, saved)
    else:
        measured = surface(bench, space, objective, reference, listener)
        journal.append("profile", measured.to_record())
    damages = journal.last("sensitivity")
    if damages is None:
        damages = sensitivity(bench, space, objective, reference, listener)
        journal.append("sensitivity", damages)
        told(damages, bench.recipe.constraint.metric, listener)
    return Known(measured, readings_of(damages))


def search_for(bench: Workbench, reference: Judged, known: Known | None, beforehand: Beforehand = NOTHING) -> AskTell:
    """The recipe's search over its knobs, told this beforehand; without one it has a single point to try."""
    recipe = bench.recipe
    metric = reference.val.scores[recipe.constraint.metric]
    if known is None:
        return FixedPoint(lambda value: recipe.constraint.met(value, metric.value))
    spec = recipe.search
    problem = beforehand.added_to(level_problem(bench, reference, known))
    settings = {**spec.settings(), "kernel": bench.kernel}
    strategy = strategy_named(spec.method, problem, seed=bench.seed.child("search"), trials=spec.trials, **settings)
    return Search(problem, strategy, budget=recipe.search.trials)


def level_problem(bench: Workbench, reference: Judged, known: Known) -> LevelProblem:
    """What the recipe's search has to solve."""
    recipe = bench.recipe
    metric = reference.val.scores[recipe.constraint.metric]
    noise = recipe.search.noise
    return LevelProblem(
        known.space,
        known.objective,
        recipe.constraint.limit(metric.value),
        metric.value,
        better=metric.better,
        noise_sd=None if noise is None else math.hypot(metric.stderr, recipe.search.noise_sd(metric.value)),
        confidence=Confidence(recipe.search.return_.probability, recipe.search.return_.clear_sd),
        sensitivity=known.sensitivity,
    )


def search_knob(name: str, bench: Bound) -> Knob:
    """The recipe's knob as the search walks it."""
    space = bench.plan.space
    spec: KnobSpec = space.specs[name]
    if spec.choices is not None:
        return Knob(name, choices=space.choices[name])
    return Knob(name, range=spec.range, step=spec.step, log=spec.log, strongest=space.strongest[name])
