"""The smaller model as a program: the captured operators with every size that is written out in them made smaller.

It needs no cooperation of the user's forward, and its file needs none of the user's code.
"""

from __future__ import annotations

import warnings
from itertools import chain
from typing import Any, cast

import numpy as np
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from condensa_core.graph.channels import Keep, ModelGraph
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


def cut_program(model: nn.Module, graph: ModelGraph, keep: Keep) -> Program:
    """The program of `model`, as `analyse` captured it, without the removed units and with the weights of now.

    Tied parameters stay tied; dtype, device and `requires_grad` are those of `model`, which is not touched. The result
    is in evaluation mode. SchemeError for an impossible `keep`.
    """
    anatomy = graph.anatomy
    assert anatomy is not None, "only graphs made by `analyse` have a program"
    captured = anatomy.capture
    unlifted = captured.program.module(check_guards=False)
    assert isinstance(unlifted, GraphModule)
    survivors = Survivors(anatomy, keep, graph.families)
    originals = [node for node in captured.graph.nodes if node.op == "call_function"]
    copies = [node for node in unlifted.graph.nodes if node.op == "call_function"]
    assert [node.target for node in originals] == [node.target for node in copies[: len(originals)]]
    for original, node in zip(originals, copies, strict=False):
        rewrite = LITERALS.get(base_name(original))
        if rewrite is not None:
            rewrite(survivors, original, node)
        _remember_training(node)
        node.meta = {key: value for key, value in node.meta.items() if key in ("training_at", "nn_module_stack")}
    unlifted.graph.eliminate_dead_code()  # sizes in what nobody reads were not rewritten
    _replace_tensors(unlifted, model, graph, keep, survivors)
    unlifted.graph.lint()
    return Program(unlifted, unlifted.graph, type(model).__name__).eval()


def _remember_training(node: Node) -> None:
    """Where a node says which mode it was captured in, if it does."""
    name = base_name(node)
    position = {"batch_norm": 5, "dropout": 2, "feature_dropout": 2, "alpha_dropout": 2, "dropout_": 2}.get(name)
    has_statistics = name != "batch_norm" or (len(node.args) > 4 and node.args[3] is not None)
    if position is not None and has_statistics and node.args[position] is False:
        node.meta["training_at"] = position


def _replace_tensors(
    program: GraphModule, model: nn.Module, graph: ModelGraph, keep: Keep, survivors: Survivors
) -> None:
    kept = kept_positions(graph, keep)
    now = dict(chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)))
    made: dict[int, Any] = {}
    read = {str(node.target) for node in program.graph.nodes if node.op == "get_attr"}
    assert graph.anatomy is not None
    captured = graph.anatomy.capture
    of_constant = {
        captured.program.graph_signature.inputs_to_lifted_tensor_constants[node.name]: node
        for node in captured.constants
    }
    for name in read:
        if name in now:
            old = now[name]
            if id(old) not in made:
                new = cut(old.detach(), kept[name]) if name in kept else old.detach()
                new = new.clone()
                made[id(old)] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
            _put(program, name, made[id(old)])
        elif name in of_constant:
            node = of_constant[name]
            positions = tuple(
                None if (mask := survivors.mask(node, dim)) is None else np.flatnonzero(mask)
                for dim in range(captured.constants[node].ndim)
            )
            _put(program, name, cut(captured.constants[node].detach(), positions).clone())
    for name in [n for n, _ in program.named_parameters()] + [n for n, _ in program.named_buffers()]:
        if name not in read:
            _drop(program, name)  # tensors that no operator reads


def _put(program: nn.Module, name: str, tensor: Tensor) -> None:
    owner, leaf = _owner(program, name)
    if isinstance(tensor, nn.Parameter):
        setattr(owner, leaf, tensor)
    elif leaf in owner._buffers:
        owner._buffers[leaf] = tensor
    else:
        if hasattr(owner, leaf):
            delattr(owner, leaf)
        owner.register_buffer(leaf, tensor)


def _drop(program: nn.Module, name: str) -> None:
    owner, leaf = _owner(program, name)
    delattr(owner, leaf)


def _owner(program: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return program.get_submodule(path), leaf
