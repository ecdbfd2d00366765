"""Which positions of which tensor survive when units go."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from condensa_core.errors import SchemeError, UsageError
from condensa_core.graph.channels import Family, Keep, ModelGraph

# The surviving positions along every dimension of a tensor; None where all survive.
Kept = tuple[np.ndarray | None, ...]


def require_fit(model: nn.Module, graph: ModelGraph) -> None:
    """UsageError where `model` lacks a tensor that `graph` knows, or has it in another shape."""
    named = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    shapes = {name: tuple(tensor.shape) for name, tensor in named}
    for name, expected in graph.shapes.items():
        if shapes.get(name) != expected:
            found = f"has shape {shapes[name]}" if name in shapes else "does not exist"
            raise UsageError(
                f"the graph was made of another model than this {type(model).__name__}: {name!r} {found} here and "
                f"shape {expected} there",
                hint="analyse this model",
            )


def kept_positions(graph: ModelGraph, keep: Keep) -> dict[str, Kept]:
    """Every tensor that loses something -> its surviving positions; tied tensors under each of their names.

    SchemeError for a family that does not exist, a vector of another length or type, or one without survivor.
    """
    survives: dict[str, dict[int, np.ndarray]] = {}
    for family, gone in _removals(graph, keep):
        for member in family.members:
            size = graph.shapes[member.name][member.dim]
            mask = survives.setdefault(member.name, {}).setdefault(member.dim, np.ones(size, dtype=bool))
            mask[member.index[gone]] = False
    kept = {
        name: tuple(np.flatnonzero(masks[d]) if d in masks else None for d in range(len(graph.shapes[name])))
        for name, masks in survives.items()
    }
    return kept | {alias: kept[first] for alias, first in graph.aliases.items() if first in kept}


def cut_tensors(tensors: Mapping[str, Tensor], graph: ModelGraph, keep: Keep) -> dict[str, Tensor]:
    """`tensors` by `state_dict` key, each with only its surviving slices: targets, masks, optimizer state.

    Scalars (an optimizer's step count) and tensors that lose nothing come back as they are, the others as copies.
    SchemeError where a tensor has another shape than the model's.
    """
    kept = kept_positions(graph, keep)
    for name in kept.keys() & tensors.keys():
        shape, expected = tuple(tensors[name].shape), graph.shapes[graph.aliases.get(name, name)]
        if shape not in (expected, ()):
            raise SchemeError(f"{name}: a tensor of shape {shape} cannot be cut alongside one of shape {expected}")
    return {
        name: cut(tensor, kept[name]) if name in kept and tensor.ndim else tensor for name, tensor in tensors.items()
    }


def cut(tensor: Tensor, kept: Kept) -> Tensor:
    """A contiguous copy of the surviving slices."""
    for dim, positions in enumerate(kept):
        if positions is not None:
            tensor = tensor.index_select(dim, torch.from_numpy(positions).to(tensor.device))
    return tensor


def crossing(shape: tuple[int, ...], kept: Kept) -> np.ndarray:
    """Where the surviving slices of a tensor of this shape cross: a boolean mask of the shape."""
    mask = np.zeros(shape, dtype=bool)
    mask[np.ix_(*(np.arange(n) if at is None else at for n, at in zip(shape, kept, strict=True)))] = True
    return mask


def _removals(graph: ModelGraph, keep: Keep) -> list[tuple[Family, np.ndarray]]:
    """Families that lose units, with the positions of those units."""
    families = {family.name: family for family in graph.families}
    removals = []
    if not isinstance(keep, Mapping):
        raise SchemeError(
            f"keep must map names of families to boolean vectors, got a {type(keep).__name__}",
            hint="write {family.name: vector}",
        )
    for name, survivors in keep.items():
        if name not in families:
            hint = f"write {name.name!r}, its name" if isinstance(name, Family) else None
            raise SchemeError(f"keep names {name!r}, but the model has no such family of channels", hint=hint)
        family, mask = families[name], np.asarray(survivors)
        if mask.dtype != bool or mask.shape != (family.size,):
            raise SchemeError(
                f"keep of {name!r} must be a boolean vector of length {family.size}, got {mask.dtype} {mask.shape}",
                hint="True for every unit that stays",
            )
        if not mask.any():
            raise SchemeError(f"keep of {name!r} leaves none of {family.size} channels; at least one must survive")
        if not mask.all():
            removals.append((family, np.flatnonzero(~mask)))
    return removals
