"""`condensa plan RECIPE`: what a run would do to this model, before anything expensive starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condensa_core.report import Table
from condensa_core.report.quantities import count_text, duration_text

from . import exit_codes
from .console import drawn, say, show, show_json
from .options import Json, NoPython, Quiet, RecipePath, Verbose
from .problems import drawn_problem, problem_json
from .working import working


def plan(
    recipe: RecipePath,
    no_python: NoPython = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Show what a run would do, and what it would cost.

    Layers per rule, families of coupled channels, knobs, what stays untouched.
    """
    from condensa_core.recipe import read_recipe

    declared = read_recipe(recipe)

    from condensa_core import flow  # loads torch: only for recipes that read well

    with working(quiet=quiet, verbose=verbose) as listener:
        report = flow.plan(declared, allow_python=not no_python, listener=listener)
    problems = dict.fromkeys([*declared.problems, *report.problems])
    document = report.to_json()
    if as_json:
        document["problems"] = [problem_json(problem) for problem in problems]
        head = {"schema": "condensa.plan/1", "status": "ok", "exit_code": exit_codes.OK, "reasons": []}
        show_json(head | document)
        return exit_codes.OK
    say(*(drawn_problem(problem) for problem in problems))
    show(_headline(document), drawn(_rules(document)), *_remarks(document, verbose=verbose))
    return exit_codes.OK


def _headline(document: Mapping[str, Any]) -> str:
    model = document["model"]
    target = f"  target {document['target']}" if document.get("target") else ""
    size = f"{model['layers']} layers, {count_text(model['parameters'])} parameters, {count_text(model['macs'])} MACs"
    return f"{document['name']}  ({size}){target}"


def _rules(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            str(row["line"] or ""),
            str(row["rule"]),
            f"{row['layers']}/{row['total']}",
            count_text(row["parameters"]),
            str(row["scheme"]),
            str(row["knob"] or ""),
        )
        for row in document["rows"]
    )
    return Table("", ("line", "rule", "layers", "parameters", "scheme", "knob"), rows)


def _remarks(document: Mapping[str, Any], *, verbose: bool) -> list[str]:
    families = document["families"]
    lines = [f"coupling   {families} famil{'y' if families == 1 else 'ies'} of channels that shrink together"]
    for label, names in (("kept", document["kept"]), ("frozen", document["frozen"])):
        if names:
            lines.append(f"{label:<10} {_names(names, everything=verbose)}")
    lines += [f"estimate   {_estimate(document['estimate'])}"] if document["estimate"] else []
    return lines


def _names(names: Any, *, everything: bool) -> str:
    texts = [str(name) for name in names]
    shown = texts if everything else texts[:6]
    return ", ".join(shown) + (f" and {len(texts) - len(shown)} more (-v shows all)" if len(texts) > len(shown) else "")


def _estimate(estimate: Mapping[str, Any]) -> str:
    """Keys carry their units: `_s` is seconds; anything else is a count or a text."""
    parts = []
    for name, value in estimate.items():
        label = name.removesuffix("_s").replace("_", " ")
        if value is None:
            continue
        if name.endswith("_s"):
            parts.append(f"{label} {duration_text(float(value))}")
        else:
            parts.append(f"{label} {count_text(value) if isinstance(value, int | float) else value}")
    return ", ".join(parts)
