"""The smaller model as a program: the captured operators with every size that is written out in them made smaller.

It needs no cooperation of the user's forward, and its file needs none of the user's code.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from itertools import chain, combinations
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from condensa_core.errors import SchemeError
from condensa_core.graph.channels import Branch, Keep, ModelGraph
from condensa_core.graph.propagation import base_name
from condensa_core.materialise.kept import cut, kept_positions
from condensa_core.materialise.literals import LITERALS, Survivors


class Program(GraphModule):
    """Captured operators as a module: it trains, copies and exports like any other.

    The capture is of evaluation mode. `train()` and `eval()` set what differs between the modes: whether BatchNorm
    takes its statistics from the batch, and whether dropout drops.
    """

    def train(self, mode: bool = True) -> Program:
        changed = False
        for node in self.graph.nodes:
            position = node.meta.get("training_at")
            if position is not None and node.args[position] is not mode:
                node.update_arg(position, mode)
                changed = True
        if changed:
            self.recompile()
        return super().train(mode)

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        with warnings.catch_warnings():  # torch 2.13 warns about how it copies itself
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            return cast(Program, super().__deepcopy__(memo))


def cut_program(model: nn.Module, graph: ModelGraph, keep: Keep, without: Collection[str] = ()) -> Program:
    """The program of `model`, as `analyse` captured it, with the weights of now: no removed units, none of the branches
    named in `without`.

    Tied parameters stay tied; dtype, device and `requires_grad` are those of `model`, which is not touched. The result
    is in evaluation mode. SchemeError for an impossible `keep`, an unknown branch, or both operands of one addition.
    """
    anatomy = graph.anatomy
    assert anatomy is not None, "only graphs made by `analyse` have a program"
    unlifted = anatomy.capture.unlifted
    survivors = Survivors(anatomy, keep, graph.families)
    cut_graph, copies = Graph(), dict[Node, Node]()
    cut_graph.output(cut_graph.graph_copy(unlifted.graph, copies))
    cut_graph.set_codegen(unlifted.graph._codegen)  # how inputs and outputs are nested
    for original, twin in anatomy.capture.calls():
        node = copies[twin]
        rewrite = LITERALS.get(base_name(original))
        if rewrite is not None:
            rewrite(survivors, original, node)
        node.meta = {"nn_module_stack": node.meta.get("nn_module_stack", {})}  # sizes and source lines are outdated
        _remember_training(node)
    for branch in _distinct(graph, without):
        _drop(branch, dict(anatomy.capture.calls()), copies)
    # Sizes in what nobody reads were not rewritten. Attention is no side effect, though it may draw random numbers.
    cut_graph.eliminate_dead_code(lambda node: node.is_impure(impure_random=False))
    cut_graph.lint()
    read = {str(node.target) for node in cut_graph.nodes if node.op == "get_attr"}
    tensors = _tensors(read, model, graph, keep, survivors)
    return Program(tensors, cut_graph, type(model).__name__).eval()


def _distinct(graph: ModelGraph, names: Collection[str]) -> list[Branch]:
    """The branches of these names; SchemeError for an unknown one, or two that leave nothing of an addition."""
    known = {branch.name: branch for branch in graph.branches}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SchemeError(f"the model has no branch {unknown[0]!r}")
    branches = [known[name] for name in dict.fromkeys(names)]
    for one, other in combinations(branches, 2):
        if one.addition is other.addition:
            raise SchemeError(f"branches {one.name!r} and {other.name!r} are all that one addition adds")
    return branches


def _writes(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _drop(branch: Branch, twins: Mapping[Node, Node], copies: Mapping[Node, Node]) -> None:
    """The addition becomes its other operand; copied where somebody writes to the sum in place."""
    addition = copies[twins[branch.addition]]
    branch_end = copies[twins[branch.operand]]
    (rest,) = (source for source in addition.args[:2] if source is not branch_end)
    assert isinstance(rest, Node)
    if any(_writes(node) for node in (addition, *addition.users)):
        with addition.graph.inserting_before(addition):
            rest = addition.graph.call_function(torch.ops.aten.clone.default, (rest,))
    addition.replace_all_uses_with(rest)
    addition.graph.erase_node(addition)


def _remember_training(node: Node) -> None:
    """Where a node says which mode it was captured in, if it does."""
    name = base_name(node)
    position = {"batch_norm": 5, "dropout": 2, "feature_dropout": 2, "alpha_dropout": 2, "dropout_": 2}.get(name)
    has_statistics = name != "batch_norm" or (len(node.args) > 4 and node.args[3] is not None)
    if position is not None and has_statistics and node.args[position] is False:
        node.meta["training_at"] = position


def _tensors(names: set[str], model: nn.Module, graph: ModelGraph, keep: Keep, survivors: Survivors) -> dict[str, Any]:
    """What the program reads, cut: the model's parameters and buffers of now, and its constants."""
    assert graph.anatomy is not None
    captured = graph.anatomy.capture
    kept = kept_positions(graph, keep)
    now = dict(chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)))
    lifted = captured.program.graph_signature.inputs_to_lifted_tensor_constants
    constants = {lifted[node.name]: node for node in captured.constants}
    made: dict[int, Tensor] = {}  # tied tensors stay one
    tensors: dict[str, Any] = {}
    for name in names:
        if name in now:
            old = now[name]
            if id(old) not in made:
                new = cut(old.detach(), kept[name]) if name in kept else old.detach().clone()
                made[id(old)] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
            tensors[name] = made[id(old)]
        elif name in constants:
            node = constants[name]
            masks = [survivors.mask(node, dim) for dim in range(captured.constants[node].ndim)]
            positions = tuple(None if mask is None else np.flatnonzero(mask) for mask in masks)
            tensors[name] = cut(captured.constants[node].detach().clone(), positions)
        else:
            tensors[name] = _attribute(captured.unlifted, name)  # the body of a higher-order operator
    return tensors


def _attribute(module: nn.Module, path: str) -> Any:
    owner, _, leaf = path.rpartition(".")
    return getattr(module.get_submodule(owner), leaf)
