"""What `bench` found for other programs: JUnit for CI, Markdown for a pull request, JSON to compare with later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from xml.etree import ElementTree

from condensa_core.errors import MachineError, UsageError
from condensa_core.report.bench_tables import bench_sections
from condensa_core.report.markdown import plain, table_text
from condensa_core.report.xml_text import xml_text
from condensa_core.whole_file import remedy, replacing


def bench_junit(result: Mapping[str, Any]) -> str:
    """One case for each bound and each parity of each file: failed where it does not hold, skipped where it may."""
    suite = ElementTree.Element("testsuite", name="condensa bench")
    counts = {"failure": 0, "skipped": 0}
    for where, verdict in _verdicts(result):
        name = f"{verdict['gate']} {verdict['name']}{where}"
        case = ElementTree.SubElement(suite, "testcase", classname="condensa.bench", name=xml_text(name))
        if not verdict["passed"]:
            kind = "skipped" if verdict["allowed"] else "failure"
            counts[kind] += 1
            ElementTree.SubElement(case, kind, message=xml_text(verdict["line"]))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode") + "\n"


def bench_markdown(result: Mapping[str, Any]) -> str:
    """The tables and verdicts for a comment on a pull request, the worst news first."""
    word = "every bound holds" if result["exit_code"] == 0 else "a bound does not hold"
    parts = [f"### condensa bench: {word}"]
    parts += ["\n".join(f"- {plain(reason)}" for reason in result["reasons"])] if result["reasons"] else []
    for section in bench_sections(result):
        parts += [f"**{plain(section.heading)}**"] if section.heading else []
        parts += [table_text(table) for table in section.tables]
        kept = [line for line in section.lines if line not in result["reasons"]]
        parts += ["\n".join(f"- {plain(line)}" for line in kept)] if kept else []
    return "\n\n".join(parts) + "\n"


def require_place(path: Path) -> None:
    """MachineError where `save_text` could not write, found out by writing elsewhere in the folder; leaves nothing."""
    if path.is_dir():
        raise MachineError(f"cannot write {path}: it is a folder", hint="name a file in it")
    folder = next(ancestor for ancestor in path.absolute().parents if ancestor.exists())
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as err:
        raise MachineError(f"cannot write {path}: {err.strerror or err}", hint=remedy(err)) from err


def save_text(path: Path, text: str) -> None:
    """The file whole or not at all; MachineError where the disk refuses."""
    try:
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as err:
        raise MachineError(f"cannot write {path}: {err.strerror or err}", hint=remedy(err)) from err


def read_baseline(path: Path) -> dict[str, Any]:
    """The result that was saved; UsageError for a file that is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
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
