"""Everything a run works with, bound together: data, trained reference, its graph, the plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from condensa_core.graph import ModelGraph, analyse
from condensa_core.materialise import cuttable
from condensa_core.plan import Plan, bind
from condensa_core.progress import Listener, PhaseEnded, PhaseStarted, silent
from condensa_core.randomness import Seed
from condensa_core.recipe import Recipe
from condensa_core.workload import (
    Metric,
    Reference,
    SampleShape,
    Splits,
    build_model,
    example_inputs,
    known_shape,
    load_splits,
    metrics_named,
    reference,
)


@dataclass(frozen=True, eq=False)
class Sketch:
    """The recipe bound to its model before any weight is trained: enough to say what would happen."""

    recipe: Recipe
    model: nn.Module
    example: tuple[Tensor, ...]
    graph: ModelGraph
    plan: Plan


@dataclass(frozen=True, eq=False)
class Workbench:
    """The recipe bound to its trained model and its data. `model` is on the CPU in evaluation mode, never changed."""

    recipe: Recipe
    seed: Seed
    splits: Splits
    metrics: Mapping[str, Metric]
    model: nn.Module
    reference: Reference
    example: tuple[Tensor, ...]
    graph: ModelGraph
    plan: Plan
    device: torch.device  # where learning happens


def default_cache_dir() -> Path:
    """Where trained references are kept: $CONDENSA_CACHE, else condensa under the user's cache folder."""
    given = os.environ.get("CONDENSA_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "condensa"


def learning_device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sketch(recipe: Recipe, *, allow_python: bool = True, listener: Listener = silent) -> Sketch:
    """The plan on an untrained model. The data is read only where its shape is not known otherwise."""
    seed = Seed(recipe.seed)
    shape: SampleShape | Splits | None = known_shape(recipe.data)
    if shape is None:
        shape = load_splits(recipe.data, seed=seed, directory=recipe.directory, allow_python=allow_python)
    model = build_model(recipe.model, splits=shape, seed=seed, directory=recipe.directory, allow_python=allow_python)
    example = example_inputs(recipe.model, shape)
    graph = _graph_of(model, example, listener)
    return Sketch(recipe, model.eval(), example, graph, bind(recipe, model, graph))


def prepare(
    recipe: Recipe, *, allow_python: bool = True, cache_dir: Path | None = None, listener: Listener = silent
) -> Workbench:
    """Load, bind, then train: the plan is checked before the reference is paid for."""
    seed = Seed(recipe.seed)
    splits = load_splits(recipe.data, seed=seed, directory=recipe.directory, allow_python=allow_python)
    model = build_model(recipe.model, splits=splits, seed=seed, directory=recipe.directory, allow_python=allow_python)
    example = example_inputs(recipe.model, splits)
    graph = _graph_of(model, example, listener)
    plan = bind(recipe, model, graph)
    device = learning_device()
    trained = reference(
        recipe,
        splits,
        model,
        seed=seed,
        cache_dir=cache_dir or default_cache_dir(),
        listener=listener,
        device=device,
    )
    return Workbench(
        recipe=recipe,
        seed=seed,
        splits=splits,
        metrics=metrics_named(recipe),
        model=trained.module.cpu().eval(),
        reference=trained,
        example=example,
        graph=graph,
        plan=plan,
        device=device,
    )


def _graph_of(model: nn.Module, example: tuple[Tensor, ...], listener: Listener) -> ModelGraph:
    listener(PhaseStarted("analyse", detail=type(model).__name__))
    graph = cuttable(model, analyse(model, example), example)
    listener(PhaseEnded("analyse", f"{len(graph.families)} families of coupled channels"))
    return graph
