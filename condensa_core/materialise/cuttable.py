"""The part of a graph that a model's own code lets go of."""

from __future__ import annotations

import dataclasses

import numpy as np
from torch import Tensor, nn

from condensa_core.errors import NotEquivalent
from condensa_core.graph.channels import Family, Frozen, Keep, ModelGraph
from condensa_core.materialise.equivalence import check_equivalence
from condensa_core.materialise.masking import masked
from condensa_core.materialise.shrink import shrink


def cuttable(model: nn.Module, graph: ModelGraph, example_inputs: tuple[Tensor, ...]) -> ModelGraph:
    """`graph`, with the families frozen whose removal this forward does not survive.

    An exported graph cannot tell a size that is written out (`x.view(-1, 512)`) from one that is computed, so it is
    tried: every family is cut to half, all together and, only if that fails, one by one. Where nothing is wrong, the
    same graph comes back. NotEquivalent if families that can go alone cannot go together.
    """
    if _failure(model, graph, _halved(graph.families), example_inputs) is None:
        return graph
    failures = {family.name: _failure(model, graph, _halved((family,)), example_inputs) for family in graph.families}
    families = tuple(family for family in graph.families if failures[family.name] is None)
    frozen = tuple(
        Frozen(layer, f"cannot be cut out of this forward: {failures[family.name]}")
        for family in graph.families
        if failures[family.name] is not None
        for layer in family.layers
    )
    together = _failure(model, graph, _halved(families), example_inputs)
    if together is not None:
        raise NotEquivalent(f"channels that can go alone cannot go together: {together}")
    return dataclasses.replace(graph, families=families, frozen=graph.frozen + frozen)


def _halved(families: tuple[Family, ...]) -> Keep:
    return {family.name: np.arange(family.size) < (family.size + 1) // 2 for family in families}


def _failure(model: nn.Module, graph: ModelGraph, keep: Keep, example_inputs: tuple[Tensor, ...]) -> str | None:
    """Why the cut model is not the masked one; None if it is."""
    try:
        check_equivalence(masked(model, graph, keep), shrink(model, graph, keep), example_inputs)
    except NotEquivalent as error:
        return error.message
    return None
