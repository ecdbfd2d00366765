"""The table of schemes: the import list is the feature list."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from condensa_core.errors import SchemeError
from condensa_core.schemes.binary import Binary
from condensa_core.schemes.blocks import Block
from condensa_core.schemes.channels import Filter, Neuron, Structure
from condensa_core.schemes.codebook import Codebook
from condensa_core.schemes.lowrank import LowRank
from condensa_core.schemes.prune import Prune
from condensa_core.schemes.quantize import Quantize
from condensa_core.schemes.ternary import Ternary

SCHEMES: Final[Mapping[str, Any]] = {
    scheme.name: scheme
    for scheme in (
        Filter,
        Neuron,
        Structure,
        LowRank,
        Prune,
        Block,
        Quantize,
        Codebook,
        Binary,
        Ternary,
    )
}


def scheme_named(name: str) -> Any:
    """The scheme class of that name; SchemeError with a suggestion if there is none."""
    if name in SCHEMES:
        return SCHEMES[name]
    near = difflib.get_close_matches(name, SCHEMES, n=1)
    raise SchemeError(
        f"no scheme called {name!r}",
        hint=f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(sorted(SCHEMES)),
    )
