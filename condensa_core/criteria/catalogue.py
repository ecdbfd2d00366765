"""The table of criteria; suggests near names, and watches those that users write."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Final

from torch import Tensor

from condensa_core.criteria.norms import l1, l2, largest, mean, scaled_l2, smallest
from condensa_core.errors import SchemeError

# `units x k` rows that produce the units -> `units` scores; higher = keep
Criterion = Callable[[Tensor], Tensor]

CRITERIA: Final[Mapping[str, Criterion]] = {
    "l1": l1,
    "l2": l2,
    "max": largest,
    "mean": mean,
    "min": smallest,
    "scaled_l2": scaled_l2,
    "sum": l1,  # of magnitudes: the original's name for it
}


def criterion_named(name: str) -> Criterion:
    """The criterion of that name; SchemeError with a suggestion if there is none."""
    if name in CRITERIA:
        return CRITERIA[name]
    near = difflib.get_close_matches(name, CRITERIA, n=1)
    raise SchemeError(
        f"no criterion called {name!r}",
        hint=f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(sorted(CRITERIA)),
    )


def criterion_of(choice: str | Criterion) -> Criterion:
    """The criterion of that name, or the user's own function, whose answers are then checked.

    SchemeError where it raises, or does not give one number that can be compared for each row.
    """
    if isinstance(choice, str):
        return criterion_named(choice)
    if not callable(choice):
        raise SchemeError(f"a criterion must be a name or a function, got {type(choice).__name__}")
    named = f"criterion {getattr(choice, '__qualname__', type(choice).__name__)}"

    def checked(rows: Tensor) -> Tensor:
        try:
            scores = choice(rows)
        except Exception as err:  # the user's code may raise anything
            raise SchemeError(f"{named} fails on {len(rows)} x {rows.shape[1]} magnitudes: {err}") from err
        if not isinstance(scores, Tensor) or scores.shape != rows.shape[:1]:
            found = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
            raise SchemeError(f"{named} must give one score for each of {len(rows)} rows, got {found}")
        if bool(scores.isnan().any()):
            raise SchemeError(f"{named} gives NaN: no order can be given to that")
        return scores

    return checked
