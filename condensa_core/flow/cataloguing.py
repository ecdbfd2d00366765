"""Every scheme there is, as data for whoever explains them: what it takes, what it does to files and to speed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import torch

from condensa_core.recipe import SchemeSpec
from condensa_core.schemes import SCHEMES, Compose, Sum, Target, scheme_named

# How stored sizes are shown: bits of each weight of a random matrix of this size, with these settings.
EXAMPLE_SHAPE: Final = (256, 256)
_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "lowrank": {"rank": 16},
    "prune": {"sparsity": 0.95},
    "block": {"sparsity": 0.9, "shape": [4, 4]},
    "quantize": {"dtype": "int8", "granularity": "channel"},
    "codebook": {"size": 4},
    "binary": {},
    "ternary": {},
}


def catalogue() -> list[dict[str, Any]]:
    """A record for each scheme, in the order in which they may follow each other on the same weights."""
    records = [_record(name, scheme) for name, scheme in SCHEMES.items()]
    return [*records, *(_of_others(scheme) for scheme in (Sum, Compose))]


def _record(name: str, scheme: Any) -> dict[str, Any]:
    settings = _EXAMPLES.get(name)
    example = None
    if settings is not None:
        weight = torch.randn(EXAMPLE_SHAPE, generator=torch.Generator().manual_seed(0))
        code = scheme_named(name)(**settings).project(Target({"weight": weight}))
        example = {"settings": dict(settings), "bits_per_weight": round(code.bits() / weight.numel(), 2)}
    return {**_facts(name, scheme), "settings": _settings(name), "example": example}


def _of_others(scheme: Any) -> dict[str, Any]:
    return {**_facts(scheme.name, scheme), "settings": {}, "example": None}


def _facts(name: str, scheme: Any) -> dict[str, Any]:
    facts = scheme.facts
    return {
        "name": name,
        "summary": facts.summary,
        "source": facts.source,
        "about": "\n\n".join(inspect.cleandoc(c.__doc__) for c in scheme.__mro__ if c is not object and c.__doc__),
        "acts_on": facts.structure,
        "exact": facts.exact,
        "metrics": sorted(facts.metrics),
        "file": facts.shrinks_file,
        "speed": facts.speeds_up,
    }


def _settings(name: str) -> dict[str, Any]:
    """Names of a recipe's settings with their defaults; None is left to be chosen, or required with others."""
    record = SchemeSpec.model_fields[name].annotation
    (settings,) = (part for part in record.__args__ if part is not type(None))  # type: ignore[union-attr]
    return {key: None if field.is_required() else field.default for key, field in settings.model_fields.items()}
