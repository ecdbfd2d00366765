"""`--no-python`: no Python of a recipe, wherever it is named, before any of it could run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from condensa_core.errors import WorkloadError
from condensa_core.recipe import Recipe

_KEY = "python"
_ARGUMENTS = "args"  # what is in there is given to the user's code, and names none


def require_no_python(recipe: Recipe) -> None:
    """WorkloadError, at its place, for the first Python that the recipe names."""
    for path, reference in _named(recipe.model_dump(), ()):
        message = f"python reference {reference!r} is refused by --no-python"
        raise WorkloadError(message, place=recipe.place(*path), hint="without the option it is run: read it first")


def _named(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, dict):
        for key, child in value.items():
            if key == _KEY and isinstance(child, str):
                yield (*path, key), child
            elif key != _ARGUMENTS:
                yield from _named(child, (*path, key))
    elif isinstance(value, (list, tuple)):
        for position, child in enumerate(value):
            yield from _named(child, (*path, position))
