"""What would happen, and what a model is made of: nothing here trains or writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from condensa_core.bench import require_present
from condensa_core.errors import Problem
from condensa_core.flow.before_work import memory_before_work
from condensa_core.flow.conditions import applied_here, left_out_rows
from condensa_core.flow.durations import durations
from condensa_core.flow.effort import estimate
from condensa_core.flow.exportable import require_exportable
from condensa_core.flow.latency import TIMED_S, latencies, target_named
from condensa_core.flow.objective import Objective
from condensa_core.flow.own_objects import own_objects
from condensa_core.flow.rank_layers import checked_ranks
from condensa_core.flow.refusing_python import require_no_python
from condensa_core.flow.targets import missing_targets
from condensa_core.flow.workbench import Modelled, bound, modelled, put_weights
from condensa_core.graph import Family, analyse
from condensa_core.graph.costs import Costs, costs_of
from condensa_core.materialise import deliverable
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
    durations: Mapping[str, float] = field(default_factory=dict)  # seconds of training, where they were measured

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
            "missing": [missing.to_json() for missing in missing_targets(recipe)],
            "rows": plan.rows(),
            "left_out": left_out_rows(recipe),
            "kept": list(plan.kept),
            "frozen": [f"{f.layer}: {f.reason}" for f in graph.frozen],
            "problems": [f"{p.place}: {p.code}: {p.message}" for p in plan.problems],
            "families": len(graph.families),
            "knobs": list(plan.space.names),
            "estimate": estimate(recipe),
            "training_s": dict(self.durations),
            "model": {"parameters": graph.parameters, "macs": graph.macs, "layers": len(graph.layers)},
        }


@memory_before_work()
def plan(
    recipe: Recipe,
    *,
    timed: bool = False,
    allow_python: bool = True,
    listener: Listener = silent,
    cache_dir: Path | None = None,
) -> PlanReport:
    """The recipe bound to its model, which nothing trains; `timed` also reads the data and measures how long training
    would take.

    PlanError names every place where they do not fit, WorkloadError what keeps an own model from being exported,
    MachineError that no rule applies on this machine.
    """
    if not allow_python:
        require_no_python(recipe)
    recipe = applied_here(recipe)
    if timed:
        ready = bound(recipe, allow_python=allow_python, listener=listener)
        require_exportable(recipe, ready, listener)
        return PlanReport(recipe, ready, ready.plan, durations(ready, listener, cache_dir))
    found = modelled(recipe, allow_python=allow_python, listener=listener)
    put_weights(recipe, found.model)
    own = own_objects(recipe, allow_python=allow_python)
    made = bind(recipe, found.model, found.graph, own)
    require_exportable(recipe, found, listener)
    return PlanReport(recipe, found, checked_ranks(made, found.model, found.graph, found.routes, found.example))


@memory_before_work()
def inspect_recipe(
    recipe: Recipe,
    *,
    allow_python: bool = True,
    latency_on: str | None = None,
    seconds: float = TIMED_S,
    listener: Listener = silent,
) -> dict[str, Any]:
    """Layers, coupled channels, costs, operators and routes of a recipe's model, as JSON values.

    `latency_on` names a target of the recipe, or is empty for the one of its objective: then "latency" tells how fast
    the model gets when one group is cut (see `latency.latencies`, also for `seconds`). UsageError for another name.
    """
    if not allow_python:
        require_no_python(recipe)
    target = None if latency_on is None else target_named(recipe, latency_on)
    if target is not None:
        require_present(target)
    found = modelled(recipe, allow_python=allow_python, listener=listener)
    summary = _summary(found, recipe.name)
    if target is not None:
        seed = Seed(recipe.seed).child("latency")
        summary["latency"] = latencies(found, target, seconds=seconds, seed=seed, listener=listener).to_json()
    return summary


def inspect_builtin(name: str, input_shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """The same of a built-in model, without latency; WorkloadError for a name or a shape that does not exist."""
    shape, spec = SampleShape(classes, input_shape), ModelSpec.model_construct(builtin=name)
    model = build_model(spec, splits=shape, seed=Seed(), directory=Path.cwd())
    example = example_inputs(spec, shape)
    graph, routes = deliverable(model, analyse(model, example), example)
    return _summary(Modelled(model, example, graph, routes), name)


def _summary(found: Modelled, name: str) -> dict[str, Any]:
    graph = found.graph
    costs = costs_of(graph, found.routes[0])
    sizes = {n: p.numel() for n, p in [*found.model.named_parameters(), *found.model.named_buffers()]}
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
        "families": [_family(family, costs) for family in graph.families],
        "frozen": [asdict(frozen) for frozen in graph.frozen],
        # Arithmetic with sizes stands in the graph too, as plain Python functions.
        "operators": {name: count for name, count in graph.operators.items() if not name.startswith("<")},
        "unknown_operators": dict(graph.unknown_operators),
        "routes": list(found.routes),
        "parameters": graph.parameters,
        "macs": graph.macs,
    }


def _family(family: Family, costs: Costs) -> dict[str, Any]:
    """A family with what goes when one unit goes (`per_unit`), and when all go (`macs`, `parameters`)."""
    whole, without = {family.name: family.size}, {family.name: 0}
    return {
        "name": family.name,
        "size": family.size,
        "unit": family.unit,
        "layers": list(family.layers),
        "macs": float(costs.macs(whole) - costs.macs(without)),
        "parameters": int(costs.parameters(whole) - costs.parameters(without)),
        "per_unit": asdict(costs.per_unit(family.name)),
        "averaged": list(family.averaged),
        "members": [
            {"tensor": m.name, "dim": m.dim, "side": m.side, "positions_per_unit": m.index.shape[1]}
            for m in family.members
        ],
    }
