"""Every refusal tells its reader what would do: what is allowed, in its text, or what to do about it, in its hint."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from condensa_core import errors

ROOT = Path(__file__).parents[2]
# Their errors are about arguments; who calls them adds the place in the recipe and what the recipe allows there.
ROOMS_WITHOUT = ("schemes", "criteria", "graph", "materialise", "search")
# What is wanted or allowed, in so many words.
SAYS = re.compile(
    r"\b(must|at least|at most|expected|needs?|known|allowed|between|less than|exclude each other|takes?|outside|alone|"
    r"give|start a new run|no such|did you mean|twice|only|is none of|is one of|lies? in|names no|measured)\b"
)
# (file, function): why no hint is to be had there
WITHOUT_HINT = {
    ("condensa_core/flow/ablating.py", "_reading"): "the failure of another trial, passed on with its own hint",
    ("condensa_core/flow/trial.py", "_require_survived"): "what a process said before it died",
    ("condensa_core/search/processes.py", "_failure"): "the same, of a worker process",
    ("condensa_core/flow/users_code.py", "blaming"): "what the user's own code raised",
    ("condensa_core/workload/python_reference.py", "user_code"): "the same, a mistake of its syntax",
    ("condensa_core/workload/reference_cache.py", "read_entry"): "told as a note: the reference is then trained again",
}


class Refusal(NamedTuple):
    file: str
    line: int
    function: str
    kind: type[errors.CondensaError]
    text: str
    hinted: bool


def refusals(text: str, file: str) -> Iterator[Refusal]:
    """Every error that the code makes with a text of its own; problems of recipes have `help`, and their own tests."""
    calls: dict[ast.Call, str] = {}
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):  # inner functions come after outer ones
            calls |= {node: function.name for node in ast.walk(function) if isinstance(node, ast.Call) and node.args}
    for call, name in calls.items():
        kind = vars(errors).get(call.func.id) if isinstance(call.func, ast.Name) else None
        if not (isinstance(kind, type) and issubclass(kind, errors.CondensaError)):
            continue
        if issubclass(kind, (errors.RecipeError, errors.Interrupted)):
            continue
        hint = next((word.value for word in call.keywords if word.arg == "hint"), None)
        hinted = hint is not None and not (isinstance(hint, ast.Constant) and not hint.value)
        constants = [node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)]
        said = "".join(value for value in constants if isinstance(value, str))
        yield Refusal(file, call.lineno, name, kind, said, hinted)


def all_refusals() -> list[Refusal]:
    files = sorted([*(ROOT / "condensa_core").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])
    return [found for path in files for found in refusals(path.read_text(), str(path.relative_to(ROOT)))]


def speechless(found: Refusal) -> bool:
    """Whether its reader is left alone: what this machine or a run refuses needs a hint, all else may say it itself."""
    if found.hinted or (found.file, found.function) in WITHOUT_HINT:
        return False
    if found.kind.exit_code in (3, 4):
        return True
    parts = Path(found.file).parts
    return parts[1] not in ROOMS_WITHOUT and not SAYS.search(found.text)


def test_every_error_says_what_is_allowed_or_what_to_do():
    found = [f"{r.file}:{r.line}: {r.kind.__name__}: {r.text}" for r in all_refusals() if speechless(r)]

    assert not found, "\n".join(["no hint, and no word of what is allowed:", *found])


def test_the_exceptions_are_needed():
    left = {(r.file, r.function) for r in all_refusals() if not r.hinted}

    assert not set(WITHOUT_HINT) - left


@pytest.mark.parametrize(
    ("code", "lacking"),
    [
        ("raise RunFailed('the disk is gone')", True),
        ("raise RunFailed('the disk is gone', hint='')", True),
        ("raise RunFailed('the disk is gone', hint='bring it back')", False),
        ("raise UsageError(f'{path} is broken')", True),
        ("raise UsageError(f'{path} must be a file')", False),
        ("return ExportFailed('no')", True),  # raised elsewhere
        ("raise ValueError('no')", False),  # none of ours
    ],
)
def test_a_planted_error_is_found(code, lacking):
    found = list(refusals(f"def f(path):\n    {code}\n", "condensa_core/flow/planted.py"))

    assert any(map(speechless, found)) == lacking
