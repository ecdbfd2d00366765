"""The masked model: removed units are still there, but every slice of theirs is zero."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from condensa_core.graph.channels import Keep, ModelGraph
from condensa_core.materialise.kept import Kept, kept_positions
from condensa_core.materialise.replacement import copy_with


def masked(model: nn.Module, graph: ModelGraph, keep: Keep) -> nn.Module:
    """A copy with every member slice of the removed units set to zero, in producers, followers and consumers alike.

    It computes what the physically smaller model computes: nobody reads a removed channel any more.
    SchemeError for an impossible `keep`.
    """
    return copy_with(model, {name: partial(_zeroed, kept=kept) for name, kept in kept_positions(graph, keep).items()})


def _zeroed(tensor: Tensor, kept: Kept) -> Tensor:
    tensor = tensor.clone()
    for dim, positions in enumerate(kept):
        if positions is not None:
            gone = torch.ones(tensor.shape[dim], dtype=torch.bool)
            gone[torch.from_numpy(positions)] = False
            tensor.index_fill_(dim, gone.nonzero().flatten().to(tensor.device), 0)
    return tensor
