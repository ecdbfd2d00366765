"""Durations are read off the monotonic clock: somebody may set the time of day while a run is on."""

import ast
from pathlib import Path

import condensa_cli

import condensa_core

FILES = [path for package in (condensa_cli, condensa_core) for path in Path(package.__file__).parent.rglob("*.py")]


def test_nobody_measures_with_the_time_of_day():
    found = [
        f"{path.name}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("time.time", "time.time_ns")
    ]

    assert len(FILES) > 100 and not found


CALLS = ("now", "utcnow", "today")


def test_the_time_of_day_is_shown_and_not_reckoned_with():
    asked, shown = [], []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            if ast.unparse(node.value) in ("datetime", "date", "datetime.datetime") and node.attr in CALLS:
                asked.append(f"{path.name}:{node.lineno}")
            if node.attr == "strftime" and ast.unparse(node.value).startswith("datetime.now("):
                shown.append(f"{path.name}:{node.lineno}")

    assert asked and sorted(asked) == sorted(shown)
