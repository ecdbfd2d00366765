"""`condensa run RECIPE`: the whole way from recipe to verdict."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from condensa_core.errors import UsageError

from .console import after_work, say
from .crash import runs_under
from .options import Json, NoPython, Parallel, Quiet, RecipePath, Seed, Verbose
from .problems import drawn_problem
from .report import show_outcome
from .working import working

if TYPE_CHECKING:
    from condensa_core.recipe import Recipe


def run(
    recipe: RecipePath,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Where run directories are made, instead of the recipe's output.dir."
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, max=10000, help="At most this many L-C runs.")
    ] = None,
    parallel: Parallel = None,
    warm_start: Annotated[
        list[Path] | None,
        typer.Option(
            "--warm-start", metavar="DIR", help="An earlier run that tells where the bound may lie; may be repeated."
        ),
    ] = None,
    seed: Seed = None,
    no_python: NoPython = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Compress a model as the recipe says.

    Ends with one verdict; exit code 1 means that the constraint or a gate does not hold.
    """
    from condensa_core.recipe import read_recipe

    declared = with_overrides(read_recipe(recipe), trials=trials, parallel=parallel, seed=seed, warm_start=warm_start)
    say(*(drawn_problem(problem) for problem in declared.problems))

    from condensa_core import flow  # loads torch: only for recipes that read well

    root = out or Path(declared.output.dir)
    with runs_under(root), working(quiet=quiet, verbose=verbose, resumable=True) as listener:
        outcome = flow.run(
            declared, out=out, allow_python=not no_python, listener=listener, command=["condensa", *sys.argv[1:]]
        )
    with after_work(f"the run is done: condensa report {shlex.quote(outcome.run_dir)} shows it"):
        show_outcome(outcome, as_json=as_json, verbose=verbose, long=False)
    return outcome.exit_code


def with_overrides(
    recipe: Recipe,
    *,
    trials: int | None = None,
    parallel: int | None = None,
    seed: int | None = None,
    warm_start: Sequence[Path] | None = None,
) -> Recipe:
    """The recipe with what the command line says instead; the resolved recipe of the run records it."""
    if seed is not None:
        recipe = recipe.model_copy(update={"seed": seed})
    if warm_start:
        _require_earlier_runs(recipe, warm_start)
    told: dict[str, Any] = {"trials": trials, "parallel": parallel}
    told["warm_start"] = tuple(str(path.absolute()) for path in warm_start) if warm_start else None
    search = {key: value for key, value in told.items() if value is not None}
    if search:
        recipe = recipe.model_copy(update={"search": recipe.search.model_copy(update=search)})
    return recipe


def _require_earlier_runs(recipe: Recipe, folders: Sequence[Path]) -> None:
    """UsageError, before torch is loaded, where --warm-start names no folder or the recipe has not one knob."""
    from condensa_core.recipe import knobs_in_use

    names = knobs_in_use(recipe.layers)
    conditional = any(rule.when is not None for rule in recipe.layers)  # the platform decides then, with torch
    if len(names) != 1 and not conditional:
        has = f"{len(names)}: {', '.join(names)}" if names else "none"
        raise UsageError(f"--warm-start needs a recipe with one knob, and this one has {has}", hint="leave it out")
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--warm-start: there is no run directory {folder}", hint="name that of an earlier run")
