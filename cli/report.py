"""`condensa report RUN_DIR`: what a finished run found, how far an unfinished one came, or which runs there are."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from condensa_core.errors import UsageError
from condensa_core.report.quantities import knobs_text, metric_text

from . import exit_codes
from .console import drawn, say, show, show_json
from .options import Json, Verbose
from .paths import is_file, is_folder, require_file_name

if TYPE_CHECKING:
    from condensa_core.report import Outcome, RunSummary, TrialResult, Unfinished


def report(
    run_dir: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="A run directory, or a folder of them.", show_default=False)
    ],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write the report as one HTML file.")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Show the result of a run again.

    Exits as the run did, and says how to resume one that is unfinished: 4 if it was killed or is under way. Of a folder
    of runs, lists them.
    """
    from condensa_core.report import Outcome, how_far, is_run, read_result, runs_under, write_html_report
    from condensa_core.report.as_it_lies import as_it_lies, lost_artifacts

    require_file_name("--html", html, "<title>condensa")
    if not is_folder(run_dir):
        raise UsageError(
            f"{run_dir} is no run directory",
            hint="give a folder that condensa run made, or one that holds such folders",
        )
    result = run_dir / "result.json"
    found = read_result(result) if is_file(result) else None
    if isinstance(found, Outcome):
        lost = lost_artifacts(found, run_dir)
        if lost:
            say(f"warning: {'; '.join(lost)}", f"condensa resume {shlex.quote(str(run_dir))} writes them again")
        found = as_it_lies(found, run_dir)
        if html is not None:
            write_html_report(html, found, run_dir)
        show_outcome(found, as_json=as_json, verbose=verbose, long=True)
        return found.exit_code
    if html is not None:
        raise UsageError(
            f"{run_dir} holds no result.json of a finished run, of which an HTML report is made",
            hint="condensa resume finishes it; without --html its trials so far are shown",
        )
    if is_run(run_dir):
        return _show_unfinished(how_far(run_dir, found), as_json=as_json)
    runs = runs_under(run_dir)
    if not runs:
        raise UsageError(
            f"{run_dir} is no run directory, and holds none: there is no result.json or manifest.json",
            hint="give a folder that condensa run made, or one that holds such folders",
        )
    _show_runs(runs, as_json=as_json)
    return exit_codes.OK


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


def _show_runs(runs: tuple[RunSummary, ...], *, as_json: bool) -> None:
    from condensa_core.report import runs_table

    if as_json:
        head = {"schema": "condensa.runs/1", "status": "ok", "exit_code": exit_codes.OK, "reasons": []}
        show_json(head | {"runs": [asdict(run) for run in runs]})
    else:
        show(drawn(runs_table(runs)), f"condensa report {shlex.quote(runs[-1].path)} tells more of a run")


def _show_unfinished(run: Unfinished, *, as_json: bool) -> int:
    if as_json:
        show_json(run.to_json())
    else:
        *why, how = run.reasons
        ended = [reason if reason.startswith(run.status) else f"{run.status}: {reason}" for reason in why]
        show(*(_line(trial) for trial in run.trials), *ended, how)
    return run.exit_code


def _line(trial: TrialResult) -> str:
    """`trial 3: sparsity 0.5, metric 0.9`, or why there is no metric."""
    found = f"metric {metric_text('', trial.metric)}" if trial.status == "ok" else f"{trial.status}: {trial.reason}"
    return f"trial {trial.number}: {knobs_text(trial.knobs)}, {found}"
