"""Optimizer state of a model carried over to the smaller one, so that training goes on where it was."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from condensa_core.errors import SchemeError
from condensa_core.graph.channels import Keep, ModelGraph
from condensa_core.materialise.kept import Kept, cut, kept_positions

_Optimizer = TypeVar("_Optimizer", bound=torch.optim.Optimizer)


def carry_over(optimizer: _Optimizer, model: nn.Module, small: nn.Module, graph: ModelGraph, keep: Keep) -> _Optimizer:
    """A new optimizer of the same kind over `small`, with the settings of `optimizer` and the survivors of its state.

    Momenta and moments of removed slices are cut with them; one step of it is the step that `optimizer` would take on
    the survivors. `optimizer` holds parameters of `model` only, and states of their shapes or numbers (else
    SchemeError); it is not touched. Parameters that `small` no longer has are left out. Learning-rate schedulers find
    their settings in the parameter groups.
    """
    if hasattr(optimizer, "_params"):
        raise SchemeError(f"{type(optimizer).__name__} keeps state of all parameters together, which cannot be cut")
    names: dict[int, str] = {}
    for name, parameter in model.named_parameters():  # tied parameters: their first name
        names[id(parameter)] = name
    parameters = dict(small.named_parameters(remove_duplicate=False))
    kept = kept_positions(graph, keep)
    groups, states = [], []
    for group in optimizer.param_groups:
        named = [(old, names.get(id(old))) for old in group["params"]]
        if any(name is None for _, name in named):
            raise SchemeError("the optimizer holds a parameter that the model does not have")
        here = [(old, str(name)) for old, name in named if name in parameters]
        groups.append({**{k: copy.copy(v) for k, v in group.items()}, "params": [parameters[n] for _, n in here]})
        states += [(parameters[name], name, optimizer.state.get(old, {})) for old, name in here]
    twin = copy.copy(optimizer)  # its class may not take its own defaults (AdamW in torch 2.13)
    twin.param_groups, twin.state = groups, defaultdict(dict)
    for parameter, name, state in states:
        if state:
            twin.state[parameter] = {key: _survivors(value, name, kept, graph) for key, value in state.items()}
    return twin


def _survivors(value: object, name: str, kept: Mapping[str, Kept], graph: ModelGraph) -> object:
    if not isinstance(value, Tensor):
        return copy.copy(value)
    if name in kept and tuple(value.shape) == graph.shapes[graph.aliases.get(name, name)]:
        return cut(value, kept[name]).clone()
    if name in kept and value.ndim:
        raise SchemeError(
            f"the optimizer's state of {name} has shape {tuple(value.shape)}, which is not the parameter's"
        )
    return value.clone()
