"""The settings that the tests over all schemes build each one with."""

from __future__ import annotations

from typing import Any

import torch

from condensa_core.schemes import scheme_named


def diagonals(shape: tuple[int, ...]) -> torch.Tensor:
    """A pattern of one's own: the entries of a diagonal live or die together, the main one stays."""
    rows, columns = torch.arange(shape[0])[:, None], torch.arange(torch.Size(shape[1:]).numel())
    return ((columns - rows) % 5 - 1).view(shape)


# By scheme, one or more settings; those are left out whose promises differ (penalty forms need mu).
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "filter": [{"sparsity": 0.5}],
    "neuron": [{"sparsity": 0.5}],
    "structure": [{"sparsity": 0.5}],
    "lowrank": [{"rank": 2}, {"rank": 9}, {"select": "storage", "budget": 0.8}],
    "prune": [{"sparsity": 0.5}, {"kappa": 7}, {"pattern": "2:4"}, {"sparsity": 0.4, "pattern": diagonals}],
    "block": [{"sparsity": 0.5, "shape": (2, 3)}, {"sparsity": 0.4, "shape": (1, 2), "criterion": "mean", "align": 2}],
    "quantize": [
        {"dtype": "float16"},
        {"dtype": "bfloat16"},
        {"dtype": "int8", "granularity": "channel"},
        {"dtype": "uint4", "granularity": "group", "group": 4, "symmetric": False},
        {"dtype": "int4", "range": "mse"},
        {"dtype": "int6", "range": "mse", "symmetric": False},
        {"dtype": "int8", "range": "percentile", "percentile": 90.0},
    ],
    "codebook": [{"size": 4}, {"size": 5, "zero": True}],
    "binary": [{}],
    "ternary": [{}],
}


def examples() -> dict[str, Any]:
    """Schemes by a readable name: `prune`, `prune-2`, ..."""
    found = {}
    for kind, several in SETTINGS.items():
        for number, settings in enumerate(several, 1):
            found[kind if number == 1 else f"{kind}-{number}"] = scheme_named(kind)(**settings)
    return found
