"""`condensa ablate RECIPE`: search strategies against each other on the same trained models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import after_work, drawn, say, show, show_json
from .crash import runs_under
from .options import Json, NoPython, Quiet, RecipePath, Seed, Verbose
from .problems import drawn_problem
from .run import with_overrides
from .working import working

_STRATEGIES = "level-set,bisection,ils-ucb:raw,ei:raw,pi:raw,ucb:raw"


def ablate(
    recipe: RecipePath,
    strategies: Annotated[
        str,
        typer.Option(
            "--strategies", metavar="NAMES", help="Search methods, separated by commas; with :raw as published."
        ),
    ] = _STRATEGIES,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Repetitions, trained anew each.")] = 1,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, max=10000, help="At most this many per search.")
    ] = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the directory is made, instead of output.dir.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="Continue this ablation with the models it trained.")
    ] = None,
    no_python: NoPython = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Compare search strategies on a recipe.

    A setting that several ask for is trained once. Writes ablation.json, regret.svg and level.svg.
    """
    from condensa_core.recipe import read_recipe

    declared = with_overrides(read_recipe(recipe), trials=trials, seed=seed)
    say(*(drawn_problem(problem) for problem in declared.problems))

    from condensa_core.recipe import strategy_words

    names = [name for part in strategies.split(",") if (name := part.strip())]
    for name in names:
        strategy_words(name)

    from condensa_core import flow  # loads torch: only for recipes that read well

    root = resume or out or Path(declared.output.dir)
    again = ["condensa", *(part for part in sys.argv[1:] if resume is None or part not in ("--resume", str(resume)))]
    with runs_under(root, [*again, "--resume"]), working(quiet=quiet, verbose=verbose, resumable=True) as listener:
        found = flow.ablate(
            declared,
            names,
            seeds=seeds,
            out=out,
            resumed=resume,
            allow_python=not no_python,
            listener=listener,
            command=["condensa", *sys.argv[1:]],
        )
    with after_work(f"all is kept in {found.run_dir}"):
        if as_json:
            show_json(found.to_json())
        else:
            show(drawn(found.table()), f"{found.trainings} trainings; {found.run_dir}/regret.svg")
    return 0
