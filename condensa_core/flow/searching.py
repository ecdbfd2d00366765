"""What the recipe's search has to solve, and the search that solves it."""

from __future__ import annotations

from condensa_core.flow.objective import Objective
from condensa_core.flow.profiling import profile
from condensa_core.flow.trial import Judged
from condensa_core.flow.workbench import Workbench
from condensa_core.progress import Listener
from condensa_core.recipe import KnobSpec
from condensa_core.search import (
    AskTell,
    Confidence,
    FixedPoint,
    Journal,
    Knob,
    LevelProblem,
    ObjectiveProfile,
    Search,
    Space,
    strategy_named,
)


def known_objective(
    bench: Workbench, objective: Objective, reference: Judged, journal: Journal, listener: Listener
) -> ObjectiveProfile | None:
    """The objective over the recipe's knob: from the journal, or measured and written there. None without a knob."""
    if not bench.plan.space.names:
        return None
    knob = search_knob(bench.plan.space.names[0], bench)
    saved = journal.last("profile")
    if saved is not None:
        return ObjectiveProfile.from_record(knob, saved)
    known = profile(bench, knob, objective, reference, listener)
    journal.append("profile", known.to_record())
    return known


def search_for(bench: Workbench, reference: Judged, known: ObjectiveProfile | None) -> AskTell:
    """The recipe's search over its knob; a recipe without one has a single point to try."""
    recipe = bench.recipe
    metric = reference.val.scores[recipe.constraint.metric]
    if known is None:
        return FixedPoint(lambda value: recipe.constraint.met(value, metric.value))
    spec = recipe.search
    problem = level_problem(bench, reference, known)
    settings = {**spec.settings(), "kernel": bench.kernel}
    strategy = strategy_named(spec.method, problem, seed=bench.seed.child("search"), trials=spec.trials, **settings)
    return Search(problem, strategy, budget=recipe.search.trials)


def level_problem(bench: Workbench, reference: Judged, known: ObjectiveProfile) -> LevelProblem:
    """What the recipe's search has to solve."""
    recipe = bench.recipe
    metric = reference.val.scores[recipe.constraint.metric]
    return LevelProblem(
        Space((known.knob,)),
        known,
        recipe.constraint.limit(metric.value),
        metric.value,
        better=metric.better,
        confidence=Confidence(recipe.search.return_.probability, recipe.search.return_.clear_sd),
    )


def search_knob(name: str, bench: Workbench) -> Knob:
    """The recipe's knob as the search walks it."""
    spec: KnobSpec = bench.plan.space.specs[name]
    strongest = bench.plan.space.strongest[name]
    return Knob(name, range=spec.range, step=spec.step, log=spec.log, choices=spec.choices, strongest=strongest)
