"""Search strategies played against each other on one recipe; a model that several ask for is trained once."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from condensa_core import __version__
from condensa_core.errors import ResumeError, RunFailed, UsageError
from condensa_core.flow.comparable import fingerprint, manifest_in
from condensa_core.flow.objective import Objective
from condensa_core.flow.running import JOURNAL, checked, judged_reference, logged
from condensa_core.flow.searching import known_before, level_problem
from condensa_core.flow.trial import Evaluator
from condensa_core.flow.workbench import Workbench, trained
from condensa_core.progress import Begun, Listener, Note, silent
from condensa_core.recipe import Recipe, resolved_yaml, strategy_words
from condensa_core.report import Ablation, Played, line_chart
from condensa_core.run_directory import MANIFEST, RunDirectory, manifest
from condensa_core.search import (
    Evaluate,
    Journal,
    Knob,
    LevelProblem,
    Observation,
    Reading,
    Recommendation,
    Search,
    Strategy,
    Trial,
    Value,
    find_level,
    point_key,
    recommend,
    shipped_factor,
    strategy_named,
)
from condensa_core.whole_file import make_folder

RESULT = "ablation.json"
CHART = "regret.svg"
LEVEL_CHART = "level.svg"


def ablate(
    recipe: Recipe,
    strategies: Sequence[str],
    *,
    seeds: int = 1,
    out: Path | None = None,
    resumed: Path | None = None,
    allow_python: bool = True,
    listener: Listener = silent,
    command: Sequence[str] = (),
    cache_dir: Path | None = None,
) -> Ablation:
    """Play each strategy, for each seed, until it stops or the recipe's trials are spent.

    A strategy is a search method, with ":raw" behind it for its published coordinates; the recipe's own method keeps
    the recipe's settings, the others take their defaults. A seed is that of the searches and of the trainings.
    Everything lies in a new directory under `out` (the recipe's output.dir by default), or in `resumed`, an earlier one
    of the same recipe whose trained models are taken over. UsageError for an unknown strategy or a recipe without knob.
    """
    asked = tuple(dict.fromkeys(strategies))
    for name in asked:
        _settings(recipe, name, None)
    bench = trained(checked(recipe, allow_python, listener), cache_dir=cache_dir, listener=listener)
    if len(bench.plan.space.names) != 1:
        raise UsageError("an ablation needs a recipe with one knob", hint="give a scheme no sparsity, or a knob")
    root = out or Path(recipe.output.dir)
    opened = RunDirectory.resume(resumed) if resumed else RunDirectory.create(root, recipe.name, resolved_yaml(recipe))
    if command:
        opened.resumed_by = shlex.join([*command, *([] if resumed else ["--resume", str(opened.path)])])
    with opened as directory, logged(directory, listener) as told:
        told(Begun())
        told(Note(f"ablation directory: {directory.path}"))
        if recipe.search.warm_start or recipe.search.short:
            told(Note("the searches of an ablation start cold: no warm_start, no short runs", level="warning"))
        _begin(directory, recipe, command, new=resumed is None)
        with Journal(directory.path / JOURNAL, fingerprint(bench)) as journal:
            ablation = _played(bench, directory, journal, asked, seeds, told)
        directory.write_json(RESULT, ablation.to_json())
        directory.write_text(CHART, _chart(ablation))
        directory.write_text(LEVEL_CHART, _level_chart(ablation))
        return ablation


def _begin(directory: RunDirectory, recipe: Recipe, command: Sequence[str], *, new: bool) -> None:
    if not new:
        head = manifest_in(directory.path)
        if head.get("kind") != "ablation":
            raise ResumeError(f"{directory.path} holds no ablation", hint="continue it with: condensa resume")
        return
    with directory.starting():
        head = manifest(command, seed=recipe.seed, hashes={})
        directory.write_json(MANIFEST, {**head, "kind": "ablation", "condensa": __version__})


def _played(
    bench: Workbench, directory: RunDirectory, journal: Journal, strategies: Sequence[str], seeds: int, told: Listener
) -> Ablation:
    recipe, objective = bench.recipe, Objective.of(bench.recipe)
    reference = judged_reference(bench, directory, told)
    known = known_before(bench, objective, reference, journal, told)
    assert known is not None  # there is a knob
    problem = level_problem(bench, reference, known)
    once = TrainedOnce(journal)
    searches: list[tuple[str, int, Search]] = []
    for seed in range(seeds):
        seeded = dataclasses.replace(bench, seed=bench.seed.child("ablation", seed) if seed else bench.seed)
        folder = directory.path / f"seed-{seed}"
        make_folder(folder)
        evaluate = once.wrapped(seed, Evaluator(seeded, objective, reference, known.objective.reference, folder, told))
        for name in strategies:
            told(Note(f"ablation: {name}, seed {seed}"))
            search = Search(problem, _strategy(seeded, problem, name), budget=recipe.search.trials)
            with Journal(folder / f"{name.replace(':', '-')}.jsonl", journal.fingerprint) as own:
                find_level(evaluate, search, own, listener=told)
            searches.append((name, seed, search))
    best, finished = [], []
    for seed in range(seeds):
        of_seed = [(name, search) for name, number, search in searches if number == seed]
        everything = {point_key(o.point): o for _, search in of_seed for o in search.observations}
        together = recommend(problem, list(everything.values()))
        best.append(shipped_factor(problem, together))
        finished += [_judged(problem, name, seed, search, together) for name, search in of_seed]
    return Ablation(
        recipe=recipe.name,
        objective=objective.name,
        trials=recipe.search.trials,
        best=tuple(best),
        searches=tuple(finished),
        trainings=once.trainings,
        run_dir=str(directory.path),
    )


class TrainedOnce:
    """Evaluations that are remembered in a journal: a point is trained once for each seed, whoever asks for it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._numbers: dict[tuple[int, str], int] = {}
        self._known: dict[tuple[int, str, int], Mapping[str, Any]] = {}
        for entry in journal.entries:
            if entry.kind == "trained":
                self._remember(entry.payload)

    @property
    def trainings(self) -> int:
        """How many points were trained, attempts and seeds counted."""
        return len(self._known)

    def wrapped(self, seed: int, evaluate: Evaluate) -> Evaluate:
        """The evaluation of one seed. What it raises as RunFailed is remembered and raised again."""

        def once(trial: Trial) -> Reading:
            key = (seed, point_key(trial.point), trial.attempt)
            if key not in self._known:
                number = self._numbers.get(key[:2], sum(s == seed for s, _ in self._numbers))
                filed = {"seed": seed, "number": number, "attempt": trial.attempt, "point": dict(trial.point)}
                try:
                    reading = evaluate(Trial(number, trial.point, trial.attempt))
                except RunFailed as err:
                    self._note({**filed, "failure": str(err)})
                    raise
                if not reading.is_finite:
                    return reading
                self._note({**filed, "observation": Observation.of(trial.point, reading).to_record()})
            return _reading(self._known[key])

        return once

    def _note(self, payload: Mapping[str, Any]) -> None:
        self._journal.append("trained", payload)
        self._remember(payload)

    def _remember(self, payload: Mapping[str, Any]) -> None:
        point = point_key(payload["point"])
        self._numbers[payload["seed"], point] = payload["number"]
        self._known[payload["seed"], point, payload["attempt"]] = payload


def _reading(payload: Mapping[str, Any]) -> Reading:
    if "failure" in payload:
        raise RunFailed(payload["failure"])
    o = Observation.from_record(payload["observation"])
    assert o.metric is not None
    return Reading(o.metric, o.sd, o.objective, o.details)


def _judged(problem: LevelProblem, name: str, seed: int, search: Search, together: Recommendation) -> Played:
    """A finished search, what it would have shipped after each trial judged by all trials of its seed `together`."""
    shipped = [recommend(problem, search.observations[:n]) for n in range(1, len(search.observations) + 1)]
    last = search.recommend()
    return Played(
        strategy=name,
        seed=seed,
        points=tuple(dict(o.point) for o in search.observations),
        factors=tuple(shipped_factor(problem, answer) for answer in shipped),
        held=tuple(
            not answer.feasible
            or answer.point is None
            or together.probabilities.get(point_key(answer.point), 0.0) >= 0.5
            for answer in shipped
        ),
        stopped=search.stopped() or "",
        shipped=dict(last.point) if last.feasible and last.point is not None else None,
        distances=tuple(_apart(problem.knob, answer.crossing, together.crossing) for answer in shipped),
    )


def _strategy(bench: Workbench, problem: LevelProblem, name: str) -> Strategy:
    method, settings = _settings(bench.recipe, name, bench.kernel)
    trials = bench.recipe.search.trials
    return strategy_named(method, problem, seed=bench.seed.child("search"), trials=trials, **settings)


def _settings(recipe: Recipe, name: str, kernel: object) -> tuple[str, dict[str, Any]]:
    """The method that a strategy's name says, and its settings; UsageError for one that there is not."""
    method, coordinates = strategy_words(name)
    settings = {**recipe.search.settings(), "kernel": kernel} if method == recipe.search.method else {}
    if coordinates is not None:
        settings["coordinates"] = coordinates
    return method, settings


def _apart(knob: Knob, estimate: Value | None, known: Value | None) -> float:
    """The distance of two crossings as a share of the knob's range; None lies at its strongest value."""

    def place(value: Value | None) -> float:
        if value is None:
            value = knob.value(1.0)
        if knob.range is None:
            return knob.unit(value)
        low, high = knob.range
        return (float(value) - low) / (high - low)

    return abs(place(estimate) - place(known))


def _level_chart(ablation: Ablation) -> str:
    """Median distance of the estimated level from the known one over the seeds against trainings."""
    lines = {
        name: [median(ablation.distances(name, n)) for n in range(1, ablation.trials + 1)]
        for name in ablation.strategies
        if ablation.distances(name, 1)
    }
    title = f"{ablation.recipe}: how far off the level is estimated"
    return line_chart(lines, title=title, across="training runs", up="of the knob's range")


def _chart(ablation: Ablation) -> str:
    """Median regret over the seeds against trainings, a line per strategy."""
    lines = {
        name: [median(ablation.regrets(name, n)) for n in range(1, ablation.trials + 1)] for name in ablation.strategies
    }
    title = f"{ablation.recipe}: {ablation.objective} short of the best known"
    return line_chart(lines, title=title, across="training runs", up="regret")
