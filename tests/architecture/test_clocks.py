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
