"""The table of criteria; suggests near names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Final

from torch import Tensor

from condensa_core.criteria.norms import l1, l2, largest, mean
from condensa_core.errors import SchemeError

# `units x k` rows that produce the units -> `units` scores; higher = keep
Criterion = Callable[[Tensor], Tensor]

CRITERIA: Final[Mapping[str, Criterion]] = {"l1": l1, "l2": l2, "max": largest, "mean": mean}


def criterion_named(name: str) -> Criterion:
    """The criterion of that name; SchemeError with a suggestion if there is none."""
    if name in CRITERIA:
        return CRITERIA[name]
    near = difflib.get_close_matches(name, CRITERIA, n=1)
    raise SchemeError(
        f"no criterion called {name!r}",
        hint=f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(sorted(CRITERIA)),
    )
