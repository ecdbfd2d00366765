"""The options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings, errors and the result.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Every event and the long tables.")]
NoPython = Annotated[
    bool, typer.Option("--no-python", help="Refuse recipes that run Python code (`python:` references).")
]
NeverPython = Annotated[bool, typer.Option("--no-python", help="As for other commands; this one never runs any.")]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Use this seed instead of the recipe's.")
]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", min=1, max=256, help="Trials trained at once, instead of the recipe's number."),
]
