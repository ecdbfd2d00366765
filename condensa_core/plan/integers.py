"""Rules with `activations`: which of their layers cannot compute in integers."""

from __future__ import annotations

from typing import Final

from condensa_core.graph.channels import Layer
from condensa_core.plan.rules import Rules, counted

_ROLES: Final = frozenset(("embedding", "recurrent"))


def check_integers(rules: Rules) -> None:
    """E215 for a layer without an integer kernel that a rule names, or a rule of such layers alone; W215 for others."""
    for match in rules.matches:
        if not match.layers or all(scheme.observer is None for scheme in match.rule.scheme):
            continue
        unfit = [name for name in match.layers if _stays_float(rules.names.layers[name])]
        named = [name for name in unfit if name in match.exact]
        if not unfit:
            continue
        shown = (named or unfit)[0]
        reason = f"'{shown}' ({rules.names.layers[shown].type}) has no kernel in integers"
        path = ("layers", match.number, "match")
        if named or len(unfit) == len(match.layers):
            advice = "activations: int8 is for convolutions and linear layers; leave it out in a rule for the others"
            rules.report("E215", reason, *path, advice=(advice,))
        else:
            rules.report("W215", f"{counted(unfit)} of this rule will compute in floating point: {reason}", *path)


def _stays_float(layer: Layer) -> bool:
    return bool(layer.roles & _ROLES) or layer.type.startswith("ConvTranspose")
