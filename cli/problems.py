"""Mistakes as people, editors and CI read them: place, sentence, source line with a caret, help."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from condensa_core.errors import CondensaError, Place, Problem, RecipeError
from condensa_core.report.ending import ending_of, problem_result

_STYLES = {"error": "bold red", "warning": "bold yellow"}
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, lone surrogates, ends of lines and paragraphs
_LONGEST_LINE = 240
_SHOWN_BEFORE = 80


def drawn_problem(problem: Problem) -> Text:
    """`file:line:col: error[CODE]: sentence`, then the source line, the underline and the help lines."""
    style = _STYLES[problem.severity]
    text = Text.assemble(
        (f"{printable(str(problem.place))}: ", "bold"),
        (f"{problem.severity}[{problem.code}]: ", style),
        printable(problem.message),
    )
    text.append(_excerpt(problem.place, style))
    for line in problem.help:
        text.append(f"\n      = help: {printable(line)}", "cyan")
    return text


def drawn_error(error: CondensaError) -> Text:
    """Any refusal: every problem of a recipe at once, or one sentence with its place and hint."""
    if isinstance(error, RecipeError) and error.problems:
        return Text("\n\n").join(drawn_problem(problem) for problem in error.problems)
    style = _STYLES["error"]
    where = f"{printable(str(error.place))}: " if error.place else ""
    text = Text.assemble((where, "bold"), ("error: ", style), printable(error.message))
    if error.place:
        text.append(_excerpt(error.place, style))
    if error.hint:
        text.append(f"\n      = help: {printable(error.hint)}", "cyan")
    return text


def problem_json(problem: Problem) -> dict[str, Any]:
    """One problem for machines; columns count from 1 and `end_column` is the first one after the underline."""
    return asdict(problem_result(problem))


def error_json(error: CondensaError) -> dict[str, Any]:
    """The document that a command with --json prints instead of its result (schema `condensa.error/1`)."""
    return ending_of(error).to_json()


def github_annotations(problems: Iterable[Problem]) -> str:
    """Workflow commands that GitHub shows beside the line of the recipe."""
    lines = []
    for problem in problems:
        place = problem.place
        message = _escaped("\n".join([problem.message, *problem.help]))
        file = _escaped(place.file).replace(":", "%3A").replace(",", "%2C")
        where = f"file={file},line={place.line},col={place.column},endColumn={place.column + place.width}"
        lines.append(f"::{problem.severity} {where},title={problem.code}::{message}\n")
    return "".join(lines)


def printable(text: str) -> str:
    """The text with every control character replaced, so that a file cannot steer the terminal; a tab is one space."""
    return "".join(
        " " if char == "\t" else "\ufffd" if unicodedata.category(char) in _UNSEEN and char != "\n" else char
        for char in text
    )


def _excerpt(place: Place, style: str) -> Text:
    if not place.source.strip():
        return Text()
    source = place.source.rstrip("\r\n")
    # a line without an end would drown the sentence, and take long to look through, once for each of its mistakes
    begun = max(0, place.column - 1 - _SHOWN_BEFORE) if len(source) > _LONGEST_LINE else 0
    source = printable(source[begun : begun + _LONGEST_LINE])
    at = place.column - 1 - begun
    before, marked = source[:at], source[at : at + place.width]
    carets = "^" * max(1, cell_len(marked))
    gutter = f"{place.line:>5} | "
    blank = " " * (len(gutter) - 2) + "| "
    return Text.assemble(f"\n{gutter}{source}\n{blank}{' ' * cell_len(before)}", (carets, style))


def _escaped(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\n", "%0A")
