"""`condensa resume RUN_DIR`: continue a run that was interrupted, killed or failed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from condensa_core.errors import UsageError

from .console import after_work
from .crash import runs_under
from .options import Json, NoPython, Parallel, Quiet, Verbose
from .paths import is_file
from .report import show_outcome
from .working import working


def resume(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.", show_default=False)],
    parallel: Parallel = None,
    no_python: NoPython = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Continue a run where it stopped.

    Takes the recipe kept in the directory; no finished trial is repeated.
    """
    if not is_file(run_dir / "manifest.json"):
        raise UsageError(
            f"{run_dir} is no run directory: it holds no manifest.json",
            hint="condensa report FOLDER lists the runs in a folder",
        )

    from condensa_core import flow

    with runs_under(run_dir), working(quiet=quiet, verbose=verbose, resumable=True) as listener:
        outcome = flow.resume(run_dir, parallel=parallel, allow_python=not no_python, listener=listener)
    with after_work(f"the run is done: condensa report {shlex.quote(str(run_dir))} shows it"):
        show_outcome(outcome, as_json=as_json, verbose=verbose, long=False)
    return outcome.exit_code
