"""A recipe bound to one model: every selector expanded, every conflict reported, before anything expensive starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from condensa_core.errors import PlanError
from condensa_core.graph.channels import Family, ModelGraph
from condensa_core.plan.assignment import Assignment, Plan, Row
from condensa_core.plan.families import claimed_families
from condensa_core.plan.idle_settings import tell_idle_settings
from condensa_core.plan.integers import check_integers
from condensa_core.plan.knobs import knob_space
from condensa_core.plan.rules import Match, Rules, problems_in_order
from condensa_core.plan.scheme_checks import check_schemes
from condensa_core.recipe import Expression, PythonSpec, Recipe, Ref, SchemeSpec


def bind(recipe: Recipe, model: nn.Module, graph: ModelGraph, own: Mapping[str, Any] | None = None) -> Plan:
    """The plan of a recipe for a model; PlanError holds everything that does not fit, each with its place.

    `own` are the user's Python objects: patterns by the name they are declared under, criteria by `PythonSpec.key`.
    """
    rules = Rules(recipe, model, graph)
    families = claimed_families(rules, graph)
    check_schemes(rules, model, families, own or {})
    tell_idle_settings(rules, model, families)
    check_integers(rules)
    problems = tuple(problems_in_order(rules.problems))
    if any(problem.severity == "error" for problem in problems):
        raise PlanError(problems)
    parameters = {name: parameter.numel() for name, parameter in model.named_parameters()}
    known = _Known(_uses(graph), own or {})
    parts = [part for match in rules.matches for part in _parts(match, families, parameters, known)]
    return Plan(
        space=knob_space(tuple(recipe.rules.values()), recipe.knobs),
        assignments=tuple(_merged(parts, {match.number: match.rule.scope for match in rules.matches})),
        kept=tuple(name for name in rules.names.layers if name in rules.kept),
        problems=problems,
        table=tuple(_row(match, families, parameters, len(graph.layers)) for match in rules.matches),
    )


@dataclass(frozen=True)
class _Known:
    """What is handed on to every assignment."""

    uses: Mapping[str, float]
    own: Mapping[str, Any]


def _uses(graph: ModelGraph) -> dict[str, float]:
    """Multiply-accumulates of each matrix's weights for one sample; a layer's matrices share its work by size."""
    uses = {}
    for layer in graph.layers:
        matrices = {name: math.prod(shape) for name, shape in layer.parameters.items() if len(shape) > 1}
        for name in matrices:
            uses[f"{layer.name}.{name}" if layer.name else name] = layer.macs / sum(matrices.values())
    return uses


def _parts(
    match: Match, families: dict[int, list[Family]], parameters: dict[str, int], known: _Known
) -> list[Assignment]:
    """What one rule projects jointly: all of it, or layer by layer under `scope: layer`."""
    if match.kind is not None:
        pieces: list[tuple[str, tuple[str, ...], tuple[Family, ...]]] = [
            (family.name, _names(family, parameters), (family,)) for family in families[match.number]
        ]
    else:
        pieces = [(name, tuple(tensors), ()) for name, tensors in match.tensors.items() if tensors]
    if match.rule.scope != "layer" and pieces:
        names = tuple(dict.fromkeys(name for _, part, _ in pieces for name in part))
        pieces = [(", ".join(match.rule.match), names, tuple(family for _, _, part in pieces for family in part))]
    scheme, place = match.rule.scheme, match.place
    return [
        Assignment(
            match.number,
            label,
            names,
            coupled,
            scheme,
            place,
            {name: known.uses[name] for name in names if name in known.uses},
            known.own,
        )
        for label, names, coupled in pieces
    ]


def _names(family: Family, parameters: dict[str, int]) -> tuple[str, ...]:
    """The parameters (not buffers) that hold what the family's units produce, or that travels with them."""
    return tuple(dict.fromkeys(m.name for m in family.members if m.side != "consumes" and m.name in parameters))


def _merged(parts: list[Assignment], scopes: dict[int, str]) -> list[Assignment]:
    """Rules of scope model with equal schemes become one task."""
    merged: list[Assignment] = []
    for part in parts:
        twin = next(
            (
                at
                for at, other in enumerate(merged)
                if scopes[part.rule] == scopes[other.rule] == "model" and part.schemes == other.schemes
            ),
            None,
        )
        if twin is None:
            merged.append(part)
            continue
        other = merged[twin]
        merged[twin] = Assignment(
            rule=other.rule,
            label=f"{other.label}, {part.label}",
            names=tuple(dict.fromkeys((*other.names, *part.names))),
            families=(*other.families, *part.families),
            schemes=other.schemes,
            place=other.place,
            uses={**other.uses, **part.uses},
            own=other.own,
        )
    return merged


def _row(match: Match, families: dict[int, list[Family]], parameters: dict[str, int], total: int) -> Row:
    if match.kind is not None:
        touched = {name for family in families[match.number] for name in _names(family, parameters)}
    else:
        touched = {name for tensors in match.tensors.values() for name in tensors}
    return Row(
        line=match.place.line or None,
        rule=", ".join(match.rule.match),
        layers=len(match.layers),
        total=total,
        parameters=sum(parameters[name] for name in touched),
        scheme=" + ".join(_scheme_text(scheme) for scheme in match.rule.scheme),
        knob=", ".join(sorted(frozenset().union(*(scheme.knobs for scheme in match.rule.scheme)))),
    )


# Settings left at these values are not worth a word.
_QUIET = {"align": 1, "norm": "scaled", "pattern": "unstructured", "form": "constraint", "granularity": "tensor",
          "symmetric": True, "range": "max", "convolution": "output", "zero": False, "scale": True}  # fmt: skip
# What ranks are chosen by: that of which a budget is a fraction, that of which alpha is the price.
_COUNTED = {
    "flops": ("of the multiplications", "a multiplication"),
    "storage": ("of the numbers stored", "a stored number"),
    "latency": ("of the seconds measured", "a second measured"),
}


def _scheme_text(scheme: SchemeSpec) -> str:
    """`filter $sparsity l2, align 8`: the settings that say something."""
    if scheme.sum is not None:
        return "(" + " + ".join(_scheme_text(summand) for summand in scheme.sum) + ")"
    texts = [scheme.kind]
    for name, value in scheme.settings.items():
        if value is None or _QUIET.get(name) == value or (scheme.kind, name, value) == ("prune", "norm", "l0"):
            continue
        if name in ("budget", "alpha") and scheme.lowrank is not None:
            texts.append(f"{name} {value} {_COUNTED[str(scheme.lowrank.select)][name == 'alpha']}")
        elif isinstance(value, PythonSpec):
            texts.append(value.python)
        elif isinstance(value, (Ref, Expression)) or name in ("criterion", "dtype", "pattern", "form", "select"):
            texts.append(str(value))
        elif name == "sparsity":
            texts.append(f"{value:g}")
        else:
            shown = f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else value
            texts.append(f"{name} {shown}")
    if scheme.observer is not None:
        texts.append(f"activations int8 {scheme.observer}")
    return " ".join(texts)
