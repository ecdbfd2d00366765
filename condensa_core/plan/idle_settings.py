"""Settings of schemes that leave every weight of this model as it is, because they reach beyond its sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from torch import nn

from condensa_core.graph.channels import Family
from condensa_core.plan.rules import Rules
from condensa_core.recipe import STRUCTURED, SchemeSpec
from condensa_core.schemes.matrix_view import view_of

_Shapes = Sequence[Sequence[tuple[int, ...]]]  # of the tensors that are projected jointly


def tell_idle_settings(rules: Rules, model: nn.Module, families: Mapping[int, Sequence[Family]]) -> None:
    """Note in `rules` (W304) each written number at which a scheme keeps everything; `families` by number of the rule.

    A setting that a knob takes the place of is not looked at: its other values may keep less.
    """
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    for match in rules.matches:
        units = [family.size for family in families.get(match.number, ())]
        parts = [[shapes[name] for name in names] for names in match.tensors.values()]
        joint = parts if match.rule.scope == "layer" else [list(itertools.chain(*parts))]
        for position, scheme in enumerate(match.rule.scheme):
            for path, leaf in scheme.leaves():
                found = _of_units(leaf, units) if units and leaf.kind in STRUCTURED else None
                if found is None and any(parts) and match.rule.scope != "model":
                    found = _of_weights(leaf, joint)
                if found is not None:
                    key, reason = found
                    where = ("layers", match.number, "scheme", position, *path, key)
                    rules.report("W304", f"{reason}, so '{key}: {leaf.settings[key]}' compresses nothing", *where)


def _of_units(leaf: SchemeSpec, units: Sequence[int]) -> tuple[str, str] | None:
    """The setting that keeps all channels, and why; None if there is none."""
    align = leaf.settings.get("align")
    if isinstance(align, int) and 1 < max(units) <= align:
        return "align", f"no layers here have more than {max(units)} units to choose from"
    return None


def _of_weights(leaf: SchemeSpec, joint: _Shapes) -> tuple[str, str] | None:
    """The setting that keeps all weights, and why; None if there is none."""
    settings = leaf.settings
    most = max(sum(math.prod(shape) for shape in part) for part in joint)
    if leaf.lowrank is not None and isinstance(rank := settings["rank"], int):
        views = [view_of(shape, settings["convolution"]) for part in joint for shape in part]
        full = max(min(view.rows, view.columns) for view in views)
        return ("rank", f"no matrix here has a rank above {full}") if rank >= full else None
    if leaf.prune is not None and leaf.prune.norm == "l0" and leaf.prune.pattern == "unstructured":
        kappa = settings["kappa"]
        if isinstance(kappa, (int, float)) and kappa >= most:
            return "kappa", f"there are {most} weights to choose from"
    if leaf.codebook is not None and isinstance(size := settings["size"], int) and size >= most + leaf.codebook.zero:
        return "size", f"there are {most} weights, which have no more values than the book"
    return None
