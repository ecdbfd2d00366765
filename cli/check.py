"""`condensa check RECIPE...`: every mistake in the files at once, without loading torch or any model."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from condensa_core.errors import Problem, UsageError

from . import exit_codes
from .console import say, show, show_json, write
from .options import Json, NeverPython, Quiet
from .problems import drawn_error, drawn_problem, github_annotations, problem_json


class Format(str, Enum):
    """How `check` prints problems."""

    text = "text"
    json = "json"
    github = "github"


def check(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="Recipe files.", show_default=False)],
    output: Annotated[Format, typer.Option("--format", help="text, json, or annotations for GitHub.")] = Format.text,
    no_python: NeverPython = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Find every mistake in recipes, without running them.

    Grammar, names, units and references; loads no model and runs no Python of the recipe.
    """
    from condensa_core.recipe import check_recipe

    problems: list[Problem] = []
    unread: list[UsageError] = []
    for recipe in recipes:
        try:
            problems += check_recipe(recipe)
        except UsageError as err:
            unread.append(err)  # the others are checked all the same
    errors = [problem for problem in problems if problem.severity == "error"]
    code = exit_codes.USAGE if errors or unread else exit_codes.OK
    if as_json or output is Format.json:
        document: dict[str, Any] = {
            "schema": "condensa.check/1",
            "status": "ok" if code == exit_codes.OK else "error",
            "exit_code": code,
            "reasons": [err.message for err in unread] + [f"{problem.place}: {problem.message}" for problem in errors],
            "problems": [problem_json(problem) for problem in problems],
        }
        show_json(document)
    elif output is Format.github:
        write(github_annotations(problems))
    else:
        if problems:
            show(Text("\n\n").join(drawn_problem(problem) for problem in problems), "")
        if not quiet and len(unread) < len(recipes):
            show(_summary(len(recipes) - len(unread), len(errors), len(problems) - len(errors)))
    say(*(drawn_error(err) for err in unread))
    return code


def _summary(recipes: int, errors: int, warnings: int) -> str:
    def counted(number: int, word: str) -> str:
        return f"{number} {word}" + ("" if number == 1 else "s")

    found = [counted(errors, "error")] if errors else []
    found += [counted(warnings, "warning")] if warnings else []
    return f"{counted(recipes, 'recipe')} checked: {', '.join(found) or 'all good'}"
