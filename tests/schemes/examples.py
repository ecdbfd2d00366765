"""The settings that the tests over all schemes build each one with."""

from __future__ import annotations

from typing import Any

from condensa_core.schemes import scheme_named

# By scheme, one or more settings; those are left out whose promises differ (penalty forms need mu).
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "filter": [{"sparsity": 0.5}],
    "neuron": [{"sparsity": 0.5}],
    "structure": [{"sparsity": 0.5}],
    "prune": [{"sparsity": 0.5}],
    "quantize": [{"dtype": "float16"}],
}


def examples() -> dict[str, Any]:
    """Schemes by a readable name: `prune`, `prune-2`, ..."""
    found = {}
    for kind, several in SETTINGS.items():
        for number, settings in enumerate(several, 1):
            found[kind if number == 1 else f"{kind}-{number}"] = scheme_named(kind)(**settings)
    return found
