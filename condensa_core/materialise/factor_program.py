"""Low rank in a captured program: every call that reads a factored weight becomes two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn
from torch.fx import GraphModule, Node

from condensa_core.graph.propagation import base_name
from condensa_core.materialise.thin_pair import SIDES, Form, ThinPair
from condensa_core.materialise.two_layers import Thin, no_cheaper
from condensa_core.schemes import Factors

_WEIGHT_AT: Final = {"linear": 1, "embedding": 0, "conv1d": 1, "conv2d": 1, "conv3d": 1}


def split_calls(program: GraphModule, factors: Mapping[str, Factors]) -> tuple[dict[str, ThinPair], dict[str, str]]:
    """Rewrite, in place, the calls that read a weight where all of them become cheaper.

    What stands for these weights, and the others' reasons, by weight. A weight NAME.weight becomes NAME.left.weight and
    NAME.right.weight.
    """
    pairs: dict[str, ThinPair] = {}
    dense: dict[str, str] = {}
    for name, pair in factors.items():
        reads = [node for node in program.graph.nodes if node.op == "get_attr" and node.target == name]
        calls = list(dict.fromkeys(call for read in reads for call in read.users))
        reason = None if calls else "the program does not read it"
        for call in calls:
            reason = reason or _indivisible(call, reads, pair)
        if reason is None and len({_form(call) for call in calls}) > 1:
            reason = "its calls need it in different forms"
        if reason is not None:
            dense[name] = reason
            continue
        pairs[name] = _store(program, name, pair, calls[0])
        for call in calls:
            _split(call, pair, pairs[name])
        for read in reads:
            program.graph.erase_node(read)
    program.graph.lint()
    program.recompile()
    return pairs, dense


def _indivisible(call: Node, reads: Sequence[Node], pair: Factors) -> str | None:
    name = base_name(call) if call.op == "call_function" else call.op
    at = _WEIGHT_AT.get(name)
    if at is None or call.kwargs or [i for i, arg in enumerate(call.args) if arg in reads] != [at]:
        return f"no two calls stand for {name}"
    if not pair.rank:
        return "its rank is 0"
    dense = pair.view.rows * pair.view.columns
    if not name.startswith("conv"):
        return no_cheaper(pair.left.numel() + pair.right.numel(), dense)
    thin, groups = _thin(call, pair)
    return no_cheaper(*thin.multiplications(pair, groups))


def _form(call: Node) -> Any:
    """What the weights of the two calls depend on besides the factors."""
    name = base_name(call)
    return name, _argument(call, 6, 1) if name.startswith("conv") else 1


def _store(program: GraphModule, name: str, factors: Factors, call: Node) -> ThinPair:
    """Exchange the parameter for the two weights that `call` and its like need."""
    old = program.get_parameter(name)
    path, _, leaf = name.rpartition(".")
    owner = program.get_submodule(path)
    delattr(owner, leaf)
    child = {side: side if leaf == "weight" and not hasattr(owner, side) else f"{leaf}_{side}" for side in SIDES}
    names = {side: ".".join(part for part in (path, child[side], "weight") if part) for side in SIDES}
    operator = base_name(call)
    form: Form = "linear" if operator == "linear" else "embedding" if operator == "embedding" else "convolution"
    groups = _argument(call, 6, 1) if form == "convolution" else 1
    pair = ThinPair(names["left"], names["right"], factors.view, factors.rank, form, groups)
    for side in SIDES:
        owner.add_module(child[side], nn.Module())
        weight = pair.laid_out(side, getattr(factors, side)).to(old.device, old.dtype).contiguous()
        owner.get_submodule(child[side]).register_parameter("weight", nn.Parameter(weight, old.requires_grad))
    return pair


def _split(call: Node, factors: Factors, pair: ThinPair) -> None:
    graph, name, operator = call.graph, base_name(call), call.target
    assert callable(operator)
    with graph.inserting_before(call):
        right, left = graph.get_attr(pair.right), graph.get_attr(pair.left)
        if name == "embedding":
            inner = graph.call_function(operator, (left, *call.args[1:]))
            outer = graph.call_function(torch.ops.aten.linear.default, (inner, right))
        elif name == "linear":
            inner = graph.call_function(operator, (call.args[0], right))
            outer = graph.call_function(operator, (inner, left, *call.args[2:]))
        else:
            thin, groups = _thin(call, factors)
            settings = [(thin.stride[at], thin.padding[at], thin.dilation[at], groups) for at in (0, 1)]
            inner = graph.call_function(operator, (call.args[0], right, None, *settings[0]))
            outer = graph.call_function(operator, (inner, left, _argument(call, 2, None), *settings[1]))
    for made in (inner, outer):
        made.meta = dict(call.meta)
    call.replace_all_uses_with(outer)
    graph.erase_node(call)


def _thin(call: Node, pair: Factors) -> tuple[Thin, int]:
    axes = len(pair.view.shape) - 2
    stride, padding, dilation = (_argument(call, at, idle) for at, idle in ((3, [1]), (4, None), (5, [1])))
    if padding is None:  # the default of either overload
        padding = "valid"
    stride, dilation = (list(one) * (axes if len(one) == 1 else 1) for one in (stride, dilation))
    if not isinstance(padding, str):
        padding = list(padding) * (axes if len(padding) == 1 else 1)
    elif "padding" not in str(call.target):
        padding = [0] * axes
    return Thin.of(pair, stride, padding, dilation), _argument(call, 6, 1)


def _argument(call: Node, at: int, default: Any) -> Any:
    return call.args[at] if len(call.args) > at else default
