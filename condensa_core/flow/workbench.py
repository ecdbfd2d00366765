"""Everything a run works with, bound together: data, trained reference, its graph, the plan."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from condensa_core.cache_directory import default_cache_dir
from condensa_core.errors import WorkloadError
from condensa_core.flow.asked_of_data import require_asked_of_data
from condensa_core.flow.conditions import applied_here
from condensa_core.flow.own_objects import own_kernel, own_objects
from condensa_core.flow.rank_layers import checked_ranks
from condensa_core.graph import ModelGraph, analyse
from condensa_core.learning import input_metrics
from condensa_core.materialise import BatchNormFolding, Route, deliverable
from condensa_core.plan import Plan, bind
from condensa_core.progress import Listener, Note, PhaseEnded, PhaseStarted, silent
from condensa_core.randomness import Seed
from condensa_core.recipe import STRUCTURED, Recipe
from condensa_core.schemes import Metric as SchemeMetric
from condensa_core.schemes import Part
from condensa_core.search import MakeKernel, Value
from condensa_core.workload import (
    Metric,
    Overlap,
    Reference,
    SampleShape,
    Splits,
    build_model,
    check_fit,
    example_inputs,
    known_shape,
    load_splits,
    load_weights,
    metrics_named,
    overlaps,
    reference,
)

# Samples of `calib`, or without it of `train`, for metrics of weights: enough for gram matrices of usual layers.
METRIC_SAMPLES = 1024


@dataclass(frozen=True, eq=False)
class Modelled:
    """A recipe's model, untrained, and what its graph taught."""

    model: nn.Module
    example: tuple[Tensor, ...]
    graph: ModelGraph
    routes: tuple[Route, ...]  # how smaller models are made


@dataclass(frozen=True, eq=False)
class Bound(Modelled):
    """The recipe bound to its model and data: every mistake that can be known before training has been reported."""

    recipe: Recipe
    seed: Seed
    splits: Splits
    metrics: Mapping[str, Metric]
    plan: Plan
    kernel: str | MakeKernel | None  # of the search's Gaussian process; None is its default
    overlaps: tuple[Overlap, ...]  # samples in more than one split
    restless: tuple[str, ...]  # what is told of splits that are never read the same

    @property
    def packs(self) -> bool:
        """Whether a packed file is made: where one is asked for, or could be smaller."""
        recipe = self.recipe
        asked = "size.packed" in (recipe.objective.name, *(gate.metric for gate in recipe.gates))
        kinds = {scheme.kind for rule in recipe.rules.values() for scheme in rule.scheme}
        return asked or "packed" in recipe.output.export or not kinds <= set(STRUCTURED)


@dataclass(frozen=True, eq=False)
class Workbench(Bound):
    """The recipe bound to its trained model. `model` is on the CPU in evaluation mode, never changed."""

    reference: Reference
    device: torch.device  # where learning happens
    statistics: Mapping[str, SchemeMetric]  # what calibration data tells of compressed weights, where it is asked
    rank_costs: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)  # as in Part
    fold_batchnorm: BatchNormFolding = dataclasses.field(default_factory=BatchNormFolding)

    def parts_at(self, knobs: Mapping[str, Value]) -> tuple[Part, ...]:
        """The plan's tasks at these knob values, with what is known of their weights."""
        tasks = []
        for task in self.plan.tasks_at(knobs):
            metrics = {name: self.statistics[name] for name in task.names if name in self.statistics}
            # What is compared jointly must be measured alike: energies and plain squares have no common scale.
            complete = len(metrics) == len(task.names)
            costs = {name: self.rank_costs[name] for name in task.names if name in self.rank_costs}
            tasks.append(dataclasses.replace(task, metrics=metrics if complete else {}, rank_costs=costs))
        return tuple(tasks)


_RESTLESS: Final = (
    "gives other samples each time it is read: scores on it vary by themselves, and it is known by the number of its "
    "samples and its code alone, so that changed data goes unnoticed, and a resumed run may end with other weights; "
    "draw from the global generators of torch, numpy or random, which condensa seeds"
)


def learning_device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def modelled(recipe: Recipe, *, allow_python: bool = True, listener: Listener = silent) -> Modelled:
    """The untrained model. The data is read only where its shape is not known otherwise."""
    seed = Seed(recipe.seed)
    with _placed(recipe, "data"):
        shape: SampleShape | Splits | None = known_shape(recipe.data)
        if shape is None:
            shape = load_splits(recipe.data, seed=seed, directory=recipe.directory, allow_python=allow_python)
    return _modelled(recipe, shape, seed, allow_python, listener)


def put_weights(recipe: Recipe, model: nn.Module) -> None:
    """Load those that the recipe names, if any, into `model`; WorkloadError, at their place, where they do not fit."""
    if recipe.model.weights is not None:
        with _placed(recipe, "model", "weights"):
            load_weights(model, recipe.model, recipe.directory)


def bound(recipe: Recipe, *, allow_python: bool = True, listener: Listener = silent) -> Bound:
    """Data, model, plan; nothing is trained. Errors of model and data carry their place in the recipe.

    Rules whose conditions do not hold on this machine are left out (`recipe.left_out`).
    """
    recipe = applied_here(recipe)
    seed = Seed(recipe.seed)
    with _placed(recipe, "data"):
        splits = load_splits(recipe.data, seed=seed, directory=recipe.directory, allow_python=allow_python)
        shared = overlaps(splits)
    require_asked_of_data(recipe, splits)
    for overlap in shared:
        listener(Note(str(overlap), level="warning" if overlap.telling else "info"))
    restless = tuple(f"data.{name} {_RESTLESS}" for name, known in splits.known.items() if known.restless)
    for text in restless:
        listener(Note(text, level="warning"))
    found = _modelled(recipe, splits, seed, allow_python, listener)
    put_weights(recipe, found.model)
    if recipe.model.weights is not None:
        with _placed(recipe, "model"):
            check_fit(found.model, recipe.model, splits, loaded=True)
    with _placed(recipe, "metrics"):
        metrics = metrics_named(recipe)
    with _placed(recipe, "layers"):
        own = own_objects(recipe, allow_python=allow_python)
    with _placed(recipe, "search"):
        kernel = own_kernel(recipe, allow_python=allow_python)
    return Bound(
        model=found.model,
        example=found.example,
        graph=found.graph,
        routes=found.routes,
        recipe=recipe,
        seed=seed,
        splits=splits,
        metrics=metrics,
        plan=checked_ranks(
            bind(recipe, found.model, found.graph, own), found.model, found.graph, found.routes, found.example
        ),
        kernel=kernel,
        overlaps=shared,
        restless=restless,
    )


def trained(
    found: Bound, *, cache_dir: Path | None = None, run_dir: Path | None = None, listener: Listener = silent
) -> Workbench:
    """The workbench with its reference: from weights, from the run's own copy, from the cache, or trained now."""
    device = learning_device()
    with _placed(found.recipe, "model"):
        known = reference(
            found.recipe,
            found.splits,
            found.model,
            seed=found.seed,
            cache_dir=cache_dir or default_cache_dir(),
            run_dir=None if run_dir is None else run_dir / "reference",
            listener=listener,
            device=device,
        )
    fields = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    model = known.module.cpu().eval()
    return Workbench(
        **{**fields, "model": model}, reference=known, device=device, statistics=_statistics(found, model, listener)
    )


def _statistics(found: Bound, model: nn.Module, listener: Listener) -> dict[str, SchemeMetric]:
    """One calibration pass over `calib`, if the recipe's metric needs it and one of its schemes heeds it."""
    metric = found.recipe.compress.metric_used
    if metric == "identity":
        return {}
    names = {name for heeding in found.plan.heeding() for name in heeding}
    if not names:
        return {}
    listener(PhaseStarted("calibrate", detail=f"inputs of {len(names)} weights"))
    batches = found.splits.calib or found.splits.train
    statistics = input_metrics(model, names, batches, gram=metric == "gram", samples=METRIC_SAMPLES)
    listener(PhaseEnded("calibrate"))
    return statistics


def _modelled(
    recipe: Recipe, shape: SampleShape | Splits, seed: Seed, allow_python: bool, listener: Listener
) -> Modelled:
    with _placed(recipe, "model", *(["python"] if recipe.model.python else [])):
        model = build_model(
            recipe.model, splits=shape, seed=seed, directory=recipe.directory, allow_python=allow_python
        )
        check_fit(model, recipe.model, shape)
        example = example_inputs(recipe.model, shape)
        return Modelled(model, example, *_graph_of(model, example, listener))


@contextlib.contextmanager
def _placed(recipe: Recipe, *path: str) -> Iterator[None]:
    """Errors of model and data get this place of the recipe, unless they have one."""
    try:
        yield
    except WorkloadError as err:
        if err.place is None:
            err.place = recipe.place(*(err.key_path or path))
        raise


def _graph_of(
    model: nn.Module, example: tuple[Tensor, ...], listener: Listener
) -> tuple[ModelGraph, tuple[Route, ...]]:
    listener(PhaseStarted("analyse", detail=type(model).__name__))
    graph, routes = deliverable(model, analyse(model, example), example)
    count = len(graph.families)
    listener(PhaseEnded("analyse", f"{count} famil{'y' if count == 1 else 'ies'} of coupled channels"))
    return graph, routes
