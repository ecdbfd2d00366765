"""What would happen, and what a model is made of: nothing here trains or writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from condensa_core.errors import Problem
from condensa_core.flow.effort import estimate
from condensa_core.flow.objective import Objective
from condensa_core.flow.workbench import Modelled, modelled
from condensa_core.graph import Family, ModelGraph, analyse
from condensa_core.plan import Plan, bind
from condensa_core.progress import Listener, silent
from condensa_core.randomness import Seed
from condensa_core.recipe import ModelSpec, Recipe
from condensa_core.workload import SampleShape, build_model, example_inputs


@dataclass(frozen=True, eq=False)
class PlanReport:
    """A plan as a person and a script may read it."""

    recipe: Recipe
    found: Modelled
    plan: Plan

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Warnings of binding the recipe to the model."""
        return tuple(self.plan.problems)

    def to_json(self) -> dict[str, Any]:
        """JSON values: the rules' table, what is kept and frozen, costs of the model, the size of the search."""
        recipe, graph, plan = self.recipe, self.found.graph, self.plan
        return {
            "name": recipe.name,
            "target": Objective.of(recipe).where,
            "rows": plan.rows(),
            "kept": list(plan.kept),
            "frozen": [f"{f.layer}: {f.reason}" for f in graph.frozen],
            "problems": [f"{p.place}: {p.code}: {p.message}" for p in plan.problems],
            "families": len(graph.families),
            "knobs": list(plan.space.names),
            "estimate": estimate(recipe),
            "model": {"parameters": graph.parameters, "macs": graph.macs, "layers": len(graph.layers)},
        }


def plan(recipe: Recipe, *, allow_python: bool = True, listener: Listener = silent) -> PlanReport:
    """The recipe bound to its (untrained) model. PlanError names every place where they do not fit."""
    found = modelled(recipe, allow_python=allow_python, listener=listener)
    return PlanReport(recipe, found, bind(recipe, found.model, found.graph))


def inspect_recipe(recipe: Recipe, *, allow_python: bool = True, listener: Listener = silent) -> dict[str, Any]:
    """Layers, coupled channels and costs of a recipe's model, as JSON values."""
    found = modelled(recipe, allow_python=allow_python, listener=listener)
    return _summary(found.graph, found.model, recipe.name)


def inspect_builtin(name: str, input_shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """The same of a built-in model; WorkloadError for a name or a shape that does not exist."""
    shape, spec = SampleShape(classes, input_shape), ModelSpec.model_construct(builtin=name)
    model = build_model(spec, splits=shape, seed=Seed(), directory=Path.cwd())
    example = example_inputs(spec, shape)
    return _summary(analyse(model, example), model, name)


def _summary(graph: ModelGraph, model: nn.Module, name: str) -> dict[str, Any]:
    sizes = {n: p.numel() for n, p in [*model.named_parameters(), *model.named_buffers()]}
    return {
        "name": name,
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "roles": sorted(layer.roles),
                "parameters": sum(sizes.get(f"{layer.name}.{p}", 0) for p in layer.parameters),
                "shapes": {p: list(shape) for p, shape in layer.parameters.items()},
                "macs": layer.macs,
                "output_shape": list(layer.output_shape),
            }
            for layer in graph.layers
        ],
        "families": [
            {"name": f.name, "size": f.size, "layers": list(f.layers), "parameters": _parameters(f, model)}
            for f in graph.families
        ],
        "frozen": [{"layer": f.layer, "reason": f.reason, "operator": f.operator} for f in graph.frozen],
        "operators": dict(graph.operators),
        "unknown_operators": dict(graph.unknown_operators),
        "parameters": graph.parameters,
        "macs": graph.macs,
    }


def _parameters(family: Family, model: nn.Module) -> int:
    """Parameters that all units of the family hold together, rows and columns."""
    shapes: Mapping[str, nn.Parameter] = dict(model.named_parameters())
    total = 0
    for member in family.members:
        if member.name in shapes:
            p = shapes[member.name]
            total += member.index.size * (p.numel() // p.shape[member.dim])
    return total
