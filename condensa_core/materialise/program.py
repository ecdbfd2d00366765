"""The smaller model as a program: the captured operators with every size that is written out in them made smaller.

It needs no cooperation of the user's forward, and its file needs none of the user's code.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from condensa_core.graph.branches import branches_named
from condensa_core.graph.channels import Branch, Keep, ModelGraph
from condensa_core.graph.propagation import base_name
from condensa_core.materialise.kept import cut, kept_positions, require_fit
from condensa_core.materialise.literals import LITERALS, Survivors


class Program(GraphModule):
    """Captured operators as a module: it trains, copies, moves and exports like any other.

    The capture is of evaluation mode. `train()` and `eval()` set what the operators say of the mode: whether BatchNorm
    takes its statistics from the batch, whether dropout drops. What a forward does in training mode alone (dropout
    inside fused attention, dropped paths, auxiliary heads, cumulative BatchNorm) is not in a capture.
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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Program:
        """`to`, `cuda`, `double`: tensors that operators create follow the parameters."""
        before = next(chain(self.parameters(), self.buffers()), None)
        moved = super()._apply(fn, recurse)
        after = next(chain(self.parameters(), self.buffers()), None)
        if before is not None and after is not None:
            _create_like(self.graph, before.dtype, after)
            self.recompile()
        return moved

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        with _unwarned():
            return cast(Program, super().__deepcopy__(memo))

    def __copy__(self) -> Program:
        with _unwarned():
            graph = copy.deepcopy(self.graph)  # each sets its own mode
        shared = Program(self, graph, type(self).__name__)
        shared.training = self.training
        return shared

    def __reduce__(self) -> tuple[Any, ...]:
        """GraphModule pickles its code and traces it again, in evaluation mode as it was captured."""
        training = self.training
        try:
            return _unpickled, (super(Program, self.eval()).__reduce__(), training)
        finally:
            self.train(training)


@contextmanager
def _unwarned() -> Iterator[None]:
    """torch 2.13 warns about how it copies its own graphs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        yield


def _unpickled(reduced: tuple[Any, ...], training: bool) -> Program:
    rebuild, arguments = reduced[:2]
    with _unwarned():
        module = rebuild(*arguments)
    for node in module.graph.nodes:
        _remember_training(node)
    return Program(module, module.graph, type(module).__name__).train(training)


def _create_like(graph: Graph, dtype: torch.dtype, example: Tensor) -> None:
    """Devices that are written out become that of `example`; created tensors of `dtype` get its dtype."""
    for node in graph.nodes:
        if isinstance(node.kwargs.get("device"), torch.device):
            node.update_kwarg("device", example.device)
            if node.kwargs.get("dtype") is dtype and base_name(node) in _CREATING:
                node.update_kwarg("dtype", example.dtype)


def cut_program(model: nn.Module, graph: ModelGraph, keep: Keep, without: Collection[str] = ()) -> Program:
    """The program of `model`, as `analyse` captured it, with the weights of now: no removed units, none of the branches
    named in `without`.

    Tied parameters stay tied; dtype, device and `requires_grad` are those of `model`, which is not touched. The result
    is in evaluation mode. SchemeError for an impossible `keep`, an unknown branch, or both operands of one addition;
    UsageError for another model than that of `graph`.
    """
    require_fit(model, graph)
    anatomy = graph.anatomy
    assert anatomy is not None, "only graphs made by `analyse` have a program"
    unlifted = anatomy.capture.unlifted
    survivors = Survivors(anatomy, keep, graph.families)
    cut_graph, copies = Graph(), dict[Node, Node]()
    cut_graph.output(cut_graph.graph_copy(unlifted.graph, copies))
    cut_graph.set_codegen(unlifted.graph._codegen)  # how inputs and outputs are nested
    for node in cut_graph.nodes:
        if node.op == "get_attr":  # tied tensors: by the name that the model's own tools know
            node.target = graph.aliases.get(str(node.target), node.target)
    for original, twin in anatomy.capture.calls():
        node = copies[twin]
        rewrite = LITERALS.get(base_name(original))
        if rewrite is not None:
            rewrite(survivors, original, node)
        node.meta = {"nn_module_stack": node.meta.get("nn_module_stack", {})}  # sizes and source lines are outdated
        _remember_training(node)
    for branch in branches_named(graph.branches, without):
        _drop(branch, dict(anatomy.capture.calls()), copies)
    # Sizes in what nobody reads were not rewritten. Attention is no side effect, though it may draw random numbers.
    cut_graph.eliminate_dead_code(lambda node: node.is_impure(impure_random=False))
    cut_graph.lint()
    read = {str(node.target) for node in cut_graph.nodes if node.op == "get_attr"}
    tensors = _tensors(read, model, graph, keep, survivors)
    example = next(chain(model.parameters(), model.buffers()), None)
    if example is not None:
        _create_like(cut_graph, example.dtype, example)
    return Program(tensors, cut_graph, type(model).__name__).eval()


def _writes(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _drop(branch: Branch, twins: Mapping[Node, Node], copies: Mapping[Node, Node]) -> None:
    """The addition becomes its other operand; copied where somebody writes to the sum in place."""
    addition = copies[twins[branch.addition]]
    branch_end = copies[twins[branch.operand]]
    (rest,) = (source for source in addition.args[:2] if source is not branch_end)
    assert isinstance(rest, Node)
    if any(_writes(node) for node in addition.graph.nodes):  # perhaps to the sum, through some view of it
        with addition.graph.inserting_before(addition):
            rest = addition.graph.call_function(torch.ops.aten.clone.default, (rest,))
    addition.replace_all_uses_with(rest)
    addition.graph.erase_node(addition)


def _remember_training(node: Node) -> None:
    """Where a node says which mode it was captured in, if it does."""
    position = _TRAINING_AT.get(base_name(node))
    has_statistics = base_name(node) != "batch_norm" or (len(node.args) > 4 and node.args[3] is not None)
    if position is not None and has_statistics and len(node.args) > position and node.args[position] is False:
        node.meta["training_at"] = position


_CREATING: Final = frozenset({"empty", "full", "new_empty", "new_full", "new_ones", "new_zeros", "ones", "zeros"})
_DROPOUTS: Final = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
_TRAINING_AT: Final = {
    **{name + suffix: 2 for name in _DROPOUTS for suffix in ("", "_")},
    **dict.fromkeys(("rrelu", "rrelu_"), 3),
    "batch_norm": 5,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), 6),
}


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
