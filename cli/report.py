"""`condensa report RUN_DIR`: what a finished run found, or how far an unfinished one came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from condensa_core.errors import UsageError

from . import exit_codes
from .console import drawn, show, show_json
from .options import Json, Verbose

if TYPE_CHECKING:
    from condensa_core.report import Outcome


def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.", show_default=False)],
    as_json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Show the result of a run again.

    Exits as the run did; an unfinished run exits 4 and says how to resume.
    """
    from condensa_core.report import read_outcome

    if not run_dir.is_dir():
        raise UsageError(f"{run_dir} is no run directory")
    result = run_dir / "result.json"
    if result.is_file():
        outcome = read_outcome(result)
        show_outcome(outcome, as_json=as_json, verbose=verbose, long=True)
        return outcome.exit_code
    journal = run_dir / "trials.jsonl"
    if not journal.is_file():
        raise UsageError(f"{run_dir} is no run directory: it holds neither result.json nor trials.jsonl")
    _show_unfinished(run_dir, journal, as_json=as_json)
    return exit_codes.FAILED


def show_outcome(outcome: Outcome, *, as_json: bool, verbose: bool, long: bool) -> None:
    """The verdict as the last thing on stdout, after the tables where they are wanted; or the one JSON document."""
    from condensa_core.report import tables, verdict

    if as_json:
        show_json(outcome.to_json())
        return
    if long or verbose:
        for table in tables(outcome):
            if table.title != "layers" or verbose:
                show(drawn(table), "")
    show(verdict(outcome))


def _show_unfinished(run_dir: Path, journal: Path, *, as_json: bool) -> None:
    lines = _journal_lines(journal)
    reason = f"unfinished: {len(lines)} lines in {journal.name}; resume with: condensa resume {run_dir}"
    if as_json:
        head = {"schema": "condensa.result/1", "status": "unfinished", "exit_code": exit_codes.FAILED}
        show_json(head | {"reasons": [reason], "run_dir": str(run_dir), "journal": lines})
    else:
        show(*(json.dumps(line, ensure_ascii=False) for line in lines), reason)


def _journal_lines(journal: Path) -> list[Any]:
    """The complete lines after the fingerprint; a line cut off by a crash is left out."""
    lines = []
    for text in journal.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
