"""What `bench` found for other programs: JUnit for CI, Markdown for a pull request, JSON to compare with later."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from condensa_core.errors import MachineError, UsageError
from condensa_core.report.bench_tables import bench_sections
from condensa_core.report.tables import Table
from condensa_core.whole_file import replacing

# XML 1.0 forbids these even when escaped
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def bench_junit(result: Mapping[str, Any]) -> str:
    """One case for each bound and each parity of each file: failed where it does not hold, skipped where it may."""
    suite = ElementTree.Element("testsuite", name="condensa bench")
    counts = {"failure": 0, "skipped": 0}
    for where, verdict in _verdicts(result):
        name = f"{verdict['gate']} {verdict['name']}{where}"
        case = ElementTree.SubElement(suite, "testcase", classname="condensa.bench", name=_FORBIDDEN.sub("?", name))
        if not verdict["passed"]:
            kind = "skipped" if verdict["allowed"] else "failure"
            counts[kind] += 1
            ElementTree.SubElement(case, kind, message=_FORBIDDEN.sub("?", verdict["line"]))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode") + "\n"


def bench_markdown(result: Mapping[str, Any]) -> str:
    """The tables and verdicts for a comment on a pull request, the worst news first."""
    word = "every bound holds" if result["exit_code"] == 0 else "a bound does not hold"
    parts = [f"### condensa bench: {word}"]
    parts += ["\n".join(f"- {_cell(reason)}" for reason in result["reasons"])] if result["reasons"] else []
    for section in bench_sections(result):
        parts += [f"**{_cell(section.heading)}**"] if section.heading else []
        parts += [_markdown(table) for table in section.tables]
        kept = [line for line in section.lines if line not in result["reasons"]]
        parts += ["\n".join(f"- {_cell(line)}" for line in kept)] if kept else []
    return "\n\n".join(parts) + "\n"


def save_text(path: Path, text: str) -> None:
    """The file whole or not at all; MachineError where the disk refuses."""
    try:
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as err:
        raise MachineError(f"cannot write {path}: {err.strerror or err}") from err


def read_baseline(path: Path) -> dict[str, Any]:
    """The result that was saved; UsageError for a file that is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or "it is not JSON"
        raise UsageError(f"cannot read the baseline {path}: {reason}", hint="write one with --save-baseline") from err
    if not isinstance(found, dict) or found.get("schema") != "condensa.bench/2" or "comparisons" not in found:
        raise UsageError(f"{path} is no baseline of this version", hint="write one with --save-baseline")
    return found


def _verdicts(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Each verdict, and where it was given."""
    found = [("", verdict) for verdict in result["verdicts"]]
    for comparison in result["comparisons"]:
        target = comparison["target"]
        where = f" on {target['backend']}, {comparison['scenario']} at batch {target['batch']}"
        found += [(where, verdict) for verdict in comparison["verdicts"]]
    return found


def _markdown(table: Table) -> str:
    lines = [f"{_cell(table.title)}\n"] if table.title else []
    lines += [_row(table.columns), _row(["---"] * len(table.columns)), *map(_row, table.rows)]
    return "\n".join(lines)


def _row(cells: Any) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    """Names of files must not become markup."""
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", text.replace("\n", " ")) if text != "---" else text
