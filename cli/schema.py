"""`condensa schema`: JSON Schemas of what goes in and comes out."""

from __future__ import annotations

from typing import Annotated

import typer

from condensa_core.errors import UsageError

from .console import show, show_json
from .exit_codes import OK
from .recipe_page import recipe_page


def schema(
    document: Annotated[
        str,
        typer.Argument(
            metavar="[recipe|result|bench]",
            help="A recipe; result.json, and run, resume and report with --json; or bench with --json.",
        ),
    ] = "recipe",
    markdown: Annotated[bool, typer.Option("--markdown", help="Of recipes: as the page docs/recipe.md.")] = False,
) -> int:
    """Print the JSON Schema of recipes, results or benchmarks.

    For editors, use it with the comment `# yaml-language-server: $schema=FILE` at the top of a recipe.
    """
    if markdown and document != "recipe":
        raise UsageError(f"there is no page of the schema of {document!r}", hint="leave --markdown out")
    if document == "recipe":
        from condensa_core.recipe import recipe_schema

        if markdown:
            show(recipe_page(recipe_schema()).rstrip("\n"))
        else:
            show_json(recipe_schema())
    elif document == "result":
        from condensa_core.report.result_schema import result_schema

        show_json(result_schema())
    elif document == "bench":
        from condensa_core.report.bench_schema import bench_schema

        show_json(bench_schema())
    else:
        raise UsageError(f"there is no schema of {document!r}", hint="known: recipe, result, bench")
    return OK
