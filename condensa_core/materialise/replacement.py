"""Copies of a model in which some tensors are others, with tied tensors and shared modules still tied and shared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from itertools import chain

import torch
from torch import Tensor, nn


def copy_with(model: nn.Module, replaced: Mapping[str, Callable[[Tensor], Tensor]]) -> nn.Module:
    """A deep copy of `model` where each named parameter or buffer is what its function makes of the old values.

    Parameters stay parameters with their `requires_grad`. Training flags, hooks and everything else come along,
    gradients do not. The model is not touched.
    """
    named = dict(chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)))
    memo: dict[int, object] = {}
    with torch.no_grad():
        for name, make in replaced.items():
            old = named[name]
            if id(old) in memo:
                continue  # a second name of a tied tensor
            new: Tensor = make(old.detach())
            if isinstance(old, nn.Parameter):
                new = nn.Parameter(new, requires_grad=old.requires_grad)
            memo[id(old)] = new
    return copy.deepcopy(model, memo)  # deepcopy takes what the memo has for the original: every reference follows
