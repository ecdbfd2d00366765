"""The words that name a strategy to be compared: METHOD, or METHOD:raw in its published coordinates."""

from __future__ import annotations

from condensa_core.errors import UsageError
from condensa_core.recipe.refusals import suggestion
from condensa_core.recipe.vocabulary import SEARCH_COORDINATES, SEARCH_METHODS


def strategy_words(name: str) -> tuple[str, str | None]:
    """The method and the coordinates, None for its default; UsageError for what is no strategy."""
    known = {method: takes for method, takes in SEARCH_METHODS.items() if method != "none"}
    method, colon, coordinates = name.partition(":")
    if method not in known:
        raise UsageError(f"no search method is called {method!r}", hint=suggestion(method, known))
    if not colon:
        return method, None
    if coordinates not in SEARCH_COORDINATES or "coordinates" not in known[method]:
        able = ", ".join(name for name, takes in known.items() if "coordinates" in takes)
        raise UsageError(f"no strategy is called {name!r}", hint=f"write METHOD:raw; with one of {able}")
    return method, coordinates
