"""Short L-C runs before the search: cheap readings of where the metric collapses, with a bias to be learned."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from condensa_core.errors import UsageError
from condensa_core.flow.effort import settings_for
from condensa_core.flow.objective import Objective
from condensa_core.flow.training_cost import costs_by_trial
from condensa_core.flow.trial import Evaluator, Judged
from condensa_core.flow.workbench import Bound, Workbench
from condensa_core.progress import Event, Listener, Note, TrialEnded, TrialStarted
from condensa_core.recipe import FinetuneSpec, LStepSpec, Recipe
from condensa_core.report import ShortRun, ShortRunsResult, TrainingCost
from condensa_core.report.quantities import knobs_text, metric_text
from condensa_core.run_directory import RunDirectory
from condensa_core.search import (
    Entry,
    Evaluate,
    Journal,
    LevelProblem,
    LevelSetSearch,
    Observation,
    Reading,
    Search,
    Trial,
    find_level,
    read_journal,
)
from condensa_core.whole_file import make_folder

JOURNAL: Final = "short.jsonl"
FOLDER: Final = "short"
# Of the recipe's time limit: the rest is for whole trials, without which nothing ships.
LIMIT_SHARE: Final = 0.5


def require_short_runs_possible(ready: Bound) -> None:
    """UsageError, before anything is paid for, where the recipe asks for short runs that would say nothing."""
    recipe = ready.recipe
    if recipe.search.short is not None and len(ready.plan.space.names) != 1:
        raise UsageError("short runs need a recipe with one knob")


def short_readings(
    bench: Workbench,
    directory: RunDirectory,
    reference: Judged,
    problem: LevelProblem,
    fingerprint: str,
    listener: Listener,
) -> tuple[tuple[Observation, ...], float]:
    """The readings of the recipe's short runs, trained now or by an earlier process, and the seconds charged for them.

    None starts after half of the recipe's time limit, and no more than that half is charged.
    They look for the level of the short curve by the rule of the search, and keep a journal and trial folders of their
    own, so that none of them can be taken for a trial. None without `search.short`.
    """
    spec = bench.recipe.search.short
    if spec is None:
        return (), 0.0
    folder = directory.path / FOLDER
    make_folder(folder)
    brief = dataclasses.replace(bench, recipe=shortened(bench, spec.share), seed=bench.seed.child("short"))
    # a count takes no time to read; what a short run would gain is not asked
    counted = dataclasses.replace(Objective.of(bench.recipe), name="macs", direction="minimize")
    evaluator = Evaluator(brief, counted, reference, None, folder, listener)
    search = Search(problem, LevelSetSearch(problem), budget=spec.trials)
    limit = bench.recipe.search.timeout_s
    share = None if limit is None else LIMIT_SHARE * limit
    told = _told(listener, bench.recipe, spec.trials)
    with Journal(directory.path / JOURNAL, fingerprint) as journal:
        find_level(
            _metric_of(evaluator),
            search,
            journal,
            timeout_s=share,
            listener=told,
            ended=evaluator.ended,
        )
        took = _seconds(journal.entries)
        return search.observations, took if share is None else min(took, share)


def shortened(bench: Workbench, share: float) -> Recipe:
    """The recipe with this share of the iterations of every L step and of fine-tuning; as many L-C steps as before."""
    compress = bench.recipe.compress
    whole = settings_for(bench.recipe, bench.splits, bench.model)
    step = {"epochs": None, "iterations": max(1, round(share * whole.iterations))}
    tune = {"epochs": None, "iterations": round(share * whole.finetune_iterations)}
    changes = {
        "l_step": (compress.l_step or LStepSpec()).model_copy(update=step),
        "finetune": (compress.finetune or FinetuneSpec()).model_copy(update=tune),
    }
    return bench.recipe.model_copy(update={"compress": compress.model_copy(update=changes)})


def short_runs(directory: Path, recipe: Recipe) -> ShortRunsResult | None:
    """What the journal of short runs says; None where the recipe asks for none."""
    spec = recipe.search.short
    if spec is None:
        return None
    _, entries = read_journal(directory / JOURNAL)
    ended = [entry.payload["observation"] for entry in entries if entry.kind == "trial-ended"]
    runs = tuple(ShortRun(o["point"], o["metric"], o["sd"]) for o in ended)
    cost = sum(costs_by_trial(entries).values(), start=TrainingCost())
    return ShortRunsResult(spec.share, runs, sum(map(_is_training, entries)), cost)


def _is_training(entry: Entry) -> bool:
    return entry.kind in ("trial-ended", "attempt-failed")


def _seconds(entries: tuple[Entry, ...]) -> float:
    return sum(entry.payload["wall_s"] for entry in entries if _is_training(entry))


def _metric_of(evaluate: Evaluate) -> Evaluate:
    """The evaluation without its objective, which is not the one that the search knows."""

    def read(trial: Trial) -> Reading:
        return dataclasses.replace(evaluate(trial), objective=None)

    return read


def _told(listener: Listener, recipe: Recipe, budget: int) -> Listener:
    """`listener`, told of short runs as such: they are no trials, and nothing is drawn or counted as one."""
    metric = recipe.constraint.metric

    def told(event: Event) -> None:
        if isinstance(event, TrialStarted):
            listener(Note(f"short run {event.number + 1} of at most {budget}: {knobs_text(event.knobs)}"))
        elif isinstance(event, TrialEnded):
            value = event.values.get("metric")
            came = f"{metric} {metric_text(metric, value)}" if isinstance(value, float) else event.values.get("failure")
            listener(Note(f"short run {event.number + 1}: {came}"))
        else:
            listener(event)

    return told
