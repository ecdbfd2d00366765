"""`condensa schema`: the JSON Schema of recipes, for editors."""

from __future__ import annotations

from .console import show_json
from .exit_codes import OK


def schema() -> int:
    """Print the JSON Schema of recipes, for editors.

    Use it with the comment `# yaml-language-server: $schema=FILE` at the top of a recipe.
    """
    from condensa_core.recipe import recipe_schema

    show_json(recipe_schema())
    return OK
