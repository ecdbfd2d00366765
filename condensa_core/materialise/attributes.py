"""Sizes that modules of the user's keep as attributes: a number of heads, the widths of a split.

A captured program says which dimensions shrink while a module runs. An attribute that the forward reads and that equals
such a size, where that size has one successor only, is taken for it. That is a guess, so its result counts only once it
is proven equal.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from condensa_core.graph.capture import module_of
from condensa_core.graph.channels import Keep, ModelGraph
from condensa_core.materialise.literals import Survivors


def resize_attributes(small: nn.Module, model: nn.Module, graph: ModelGraph, keep: Keep) -> nn.Module:
    """The cut model with whole numbers among its modules' attributes set to the new sizes, in place.

    Only attributes that a forward of `model` reads are touched, and none of torch's own modules.
    """
    anatomy = graph.anatomy
    if anatomy is None:
        return small
    read = _attributes_read(model, anatomy.capture.example_inputs)
    survivors = Survivors(anatomy, keep, graph.families)
    successors: dict[str, dict[int, set[int]]] = {}
    for node in anatomy.capture.graph.nodes:
        if node.op == "call_function" and module_of(node) in anatomy.capture.modules:
            of_module = successors.setdefault(module_of(node), {})
            for value in (node, *node.all_input_nodes):
                for before, after in _changes(survivors, value):
                    of_module.setdefault(before, set()).add(after)
    for path, sizes in successors.items():
        module = small.get_submodule(path)
        if type(module).__module__.partition(".")[0] == "torch":
            continue
        single = {before: next(iter(after)) for before, after in sizes.items() if len(after) == 1}
        for name, attribute in list(vars(module).items()):
            if (path, name) not in read:
                continue
            resized = _resized(attribute, single)
            if resized != attribute:
                setattr(module, name, resized)
    return small


def _attributes_read(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> set[tuple[str, str]]:
    """(module path, attribute) of all that one forward looks up."""
    read: set[tuple[str, str]] = set()
    spied = copy.deepcopy(model).eval()
    for path, module in list(spied.named_modules()):
        module.__class__ = _spying(type(module), path, read)
    with torch.no_grad():
        spied(*example_inputs)
    return read


def _spying(cls: type[nn.Module], path: str, read: set[tuple[str, str]]) -> type[nn.Module]:
    def __getattribute__(self: nn.Module, name: str) -> Any:
        read.add((path, name))
        return object.__getattribute__(self, name)

    return type(cls.__name__, (cls,), {"__getattribute__": __getattribute__})


def _changes(survivors: Survivors, node: Node) -> list[tuple[int, int]]:
    return [change for part in survivors.parts(node) for change in survivors.changes(node, part).values()]


def _resized(attribute: Any, sizes: dict[int, int]) -> Any:
    if type(attribute) is int:  # a bool is no size
        return sizes.get(attribute, attribute)
    if type(attribute) in (list, tuple) and all(type(item) is int for item in attribute):
        return type(attribute)(_resized(item, sizes) for item in attribute)
    return attribute
