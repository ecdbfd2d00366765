"""`condensa plan RECIPE`: what a run would do to this model, before anything expensive starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from condensa_core.report import Table
from condensa_core.report.quantities import count_text, duration_text

from . import exit_codes
from .console import drawn, say, show, show_json
from .options import Json, NoPython, Quiet, RecipePath, Verbose
from .problems import drawn_problem, problem_json
from .working import working


def plan(
    recipe: RecipePath,
    time: Annotated[
        bool, typer.Option("--time", help="Take a few training steps, and tell how long the whole training would be.")
    ] = False,
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
        report = flow.plan(declared, timed=time, allow_python=not no_python, listener=listener)
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
    lines += [f"left out   {_left_out(row)}" for row in document["left_out"]]
    lines += [f"missing    {_missing(missing)}" for missing in document["missing"]]
    lines += [f"estimate   {_estimate(document['estimate'])}"] if document["estimate"] else []
    return [*lines, *_training(document["training_s"])]


def _left_out(row: Mapping[str, Any]) -> str:
    """`line 12 (conv1): fp16 is not on this machine's CPU`."""
    where = f"line {row['line']}" if row["line"] else f"layers[{row['rule']}]"
    return f"{where} ({row['match']}): {row['reason']}"


def _missing(missing: Mapping[str, Any]) -> str:
    then = f"{missing['what']} is skipped" if missing["skipped"] else "a run stops"
    return f"target {missing['target']}, so {then}: {missing['reason']}"


def _training(seconds: Mapping[str, float]) -> list[str]:
    """How long training would take, where it was measured; what comes on top of it."""
    if not seconds:
        return ["           condensa plan --time measures how long that takes on this machine"]
    reference, trial, total = (duration_text(seconds[name]) for name in ("reference", "each_trial", "at_most"))
    known = f"reference about {reference}" if seconds["reference"] else "the reference is there"
    return [
        f"training   {known}, each trial about {trial}; about {total} at most",
        "           as a few steps took now, on the whole model; exporting and measuring come on top",
    ]


def _names(names: Any, *, everything: bool) -> str:
    texts = [str(name) for name in names]
    shown = texts if everything else texts[:6]
    return ", ".join(shown) + (f" and {len(texts) - len(shown)} more (-v shows all)" if len(texts) > len(shown) else "")


def _estimate(estimate: Mapping[str, Any]) -> str:
    """`trainings at most 10, L-C steps each 10`."""
    return ", ".join(f"{name} {count_text(value)}" for name, value in estimate.items())
