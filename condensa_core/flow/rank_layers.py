"""Rules whose ranks are chosen by measured latency: which of their weights can become two layers at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from torch import Tensor, nn

from condensa_core.errors import PlanError, Problem
from condensa_core.flow.stand_in_factors import stand_in_factors
from condensa_core.graph import ModelGraph
from condensa_core.materialise import Route, deliver
from condensa_core.materialise.factor import factored
from condensa_core.materialise.two_layers import SPLITTABLE
from condensa_core.plan import Plan
from condensa_core.plan.assignment import Assignment
from condensa_core.randomness import Seed
from condensa_core.schemes.matrix_view import Convolution, view_of

_LISTED: Final = 3


def timed_weights(plan: Plan) -> dict[str, Convolution]:
    """The weights whose ranks are chosen by latency, and how a convolution among them is a matrix."""
    return {name: form for one in plan.assignments if (form := _form(one)) is not None for name in one.names}


def checked_ranks(
    plan: Plan,
    model: nn.Module,
    graph: ModelGraph,
    routes: tuple[Route, ...],
    example: tuple[Tensor, ...],
) -> Plan:
    """`plan` with a warning (W216) for each rule by latency of which some weights cannot become two layers: these stay
    dense; also (W217) for each whose layers shall compute in integers: they are timed in floating point. PlanError
    (E216) where none of a rule's weights can become two layers, or where other rules remove channels of them."""
    timed = timed_weights(plan)
    if not timed:
        return plan
    problems = [*_cut_elsewhere(plan), *_timed_in_floats(plan)]
    if any(problem.code == "E216" for problem in problems):
        raise PlanError(problems)
    reasons = unsplit(model, graph, routes, example, timed)
    for rule, ones in _by_rule(plan).items():
        names = [name for one in ones for name in one.names]
        whole = [name for name in names if name in reasons]
        place, path, told = ones[0].place, ("layers", rule), _told(whole, reasons)
        if len(whole) == len(names):
            message = f"no weight of this rule can become two layers, so ranks do not change what it takes: {told}"
            problems.append(Problem("E216", message, place, ("write select: storage", "or leave the rule out"), path))
        elif whole:
            message = f"{len(whole)} of {len(names)} weights cannot become two layers and stay dense: {told}"
            problems.append(Problem("W216", message, place, ("leave them out with 'except'",), path))
    if any(problem.code == "E216" for problem in problems):
        raise PlanError(problems)
    return replace(plan, problems=(*plan.problems, *problems))


def unsplit(
    model: nn.Module,
    graph: ModelGraph,
    routes: tuple[Route, ...],
    example: tuple[Tensor, ...],
    weights: Mapping[str, Convolution],
) -> dict[str, str]:
    """The reason, for each of these weights that no two layers can stand for, whatever its rank.

    It is tried with factors of rank 1, on the model as it is delivered when nothing is cut.
    """
    whole = deliver(model, graph, {}, example, routes).model
    shapes = {name: tuple(p.shape) for name, p in whole.named_parameters()}
    generator = Seed().torch_generator("stand-ins")
    factors = {n: stand_in_factors(view_of(shapes[n], form), 1, generator) for n, form in weights.items()}
    reasons = factored(whole, factors, example).dense
    for name in weights:
        layer = model.get_submodule(name.rpartition(".")[0])
        if type(layer) not in SPLITTABLE:
            reasons.setdefault(name, f"no two layers stand for {type(layer).__name__}")
    return reasons


def _cut_elsewhere(plan: Plan) -> list[Problem]:
    """E216 for each rule by latency whose weights lose channels with the family of another rule."""
    families = [(one.place, family) for one in plan.assignments for family in one.families]
    problems = []
    for rule, ones in _by_rule(plan).items():
        names = {name for one in ones for name in one.names}
        for place, family in families:
            cut = next((member.name for member in family.members if member.name in names), None)
            if cut is not None:
                by = f"the rule on line {place.line}" if place.line else "another rule"
                message = f"latency is measured on whole layers, and {cut} loses channels by {by}"
                advice = "write select: flops, which counts what is left", f"or leave '{cut.rpartition('.')[0]}' out"
                problems.append(Problem("E216", message, ones[0].place, advice, ("layers", rule)))
                break
    return problems


def _timed_in_floats(plan: Plan) -> list[Problem]:
    """W217 for each rule by latency with `activations`."""
    problems = []
    for rule, ones in _by_rule(plan).items():
        if any(spec.observer is not None for one in ones for spec in one.schemes):
            message = "ranks are chosen by the seconds of layers in float32, and these will compute in integers"
            advice = ("write select: flops, which holds for both",)
            problems.append(Problem("W217", message, ones[0].place, advice, ("layers", rule)))
    return problems


def _form(assignment: Assignment) -> Convolution | None:
    for spec in assignment.schemes:
        if spec.lowrank is not None and spec.lowrank.select == "latency":
            return "kernel" if spec.lowrank.convolution == "kernel" else "output"
    return None


def _by_rule(plan: Plan) -> dict[int, list[Assignment]]:
    rules: dict[int, list[Assignment]] = {}
    for one in plan.assignments:
        if _form(one) is not None:
            rules.setdefault(one.rule, []).append(one)
    return rules


def _told(names: list[str], reasons: Mapping[str, str]) -> str:
    """`a.weight (why), b.weight (why) ...`"""
    listed = ", ".join(f"{name} ({reasons[name]})" for name in names[:_LISTED])
    return listed + (" ..." if len(names) > _LISTED else "")
