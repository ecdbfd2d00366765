"""Operators that read all channels of one dimension and produce channels of another: the layers with weights.

A consumed channel can go because its weights are zero in the masked model. That holds for parameters, moved or cast,
but not for weights that are computed (exp(0) is not 0), nor for a product of two activations: there both sides stay.
"""

from __future__ import annotations

import numpy as np
from torch import nn
from torch.fx import Node

from condensa_core.graph.capture import module_of
from condensa_core.graph.labels import Dim
from condensa_core.graph.propagation import Carried, Propagation, argument


def linear(walk: Propagation, node: Node) -> Carried:
    """y = x W^T + b with W of shape out x in."""
    source, weight = node.args[:2]
    assert isinstance(source, Node) and isinstance(weight, Node)
    *kept, channels = walk.dims(source)
    produced, consumed = walk.dims(weight)
    _consume(walk, node, channels, consumed, weight)
    return *kept, _produce(walk, node, produced, argument(node, 2, "bias"))


def matmul(walk: Propagation, node: Node) -> Carried:
    """y = a b over the last two dimensions, with broadcasting over the others; one factor must be a parameter."""
    a, b = node.args[:2]
    assert isinstance(a, Node) and isinstance(b, Node)
    if len(walk.shape(a)) < 2 or len(walk.shape(b)) < 2:
        return walk.unknown(node)
    *batch_a, rows, inner_a = walk.dims(a)
    *batch_b, inner_b, columns = walk.dims(b)
    for dim in (*batch_a, *batch_b):
        walk.freeze(node, dim, "is a batch dimension of a matrix product")
    _consume(walk, node, inner_a, inner_b, a if walk.is_weight(a) else b)
    for factor, dim in ((a, rows), (b, columns)):
        if walk.is_weight(factor):
            walk.mark(dim, "produces")
    batch: list[Dim] = [None] * (len(node.meta["val"].shape) - 2)
    return *batch, rows, columns


def matmul_added(walk: Propagation, node: Node) -> Carried:
    """y = b + x W."""
    bias, source, weight = node.args[:3]
    assert isinstance(bias, Node) and isinstance(source, Node) and isinstance(weight, Node)
    rows, channels = walk.dims(source)
    consumed, produced = walk.dims(weight)
    _consume(walk, node, channels, consumed, weight)
    if len(walk.shape(bias)) > 1:
        return walk.unknown(node)
    return rows, _produce(walk, node, produced, bias)


def embedding(walk: Propagation, node: Node) -> Carried:
    """Rows of a table by number: its columns are the channels, its rows must stay."""
    table, numbers = node.args[:2]
    assert isinstance(table, Node) and isinstance(numbers, Node)
    rows, columns = walk.dims(table)
    walk.freeze(node, rows, "is looked up by number")
    walk.mark(columns, "produces")
    return *walk.dims(numbers), columns


def conv(walk: Propagation, node: Node) -> Carried:
    """A convolution with weight of shape out x in/groups x kernel."""
    return _convolution(walk, node, transposed=False)


def conv_transpose(walk: Propagation, node: Node) -> Carried:
    """A transposed convolution with weight of shape in x out/groups x kernel."""
    return _convolution(walk, node, transposed=True)


def removes_whole_groups(groups: int, in_channels: int, out_channels: int) -> bool:
    """How a grouped convolution shrinks: by whole groups, or by the same positions within every group.

    Both are exact; the choice gives the finer units: `groups` of them, or `channels / groups` on either side.
    Depthwise convolutions (one input per group) lose whole groups.
    """
    return groups > min(in_channels, out_channels) // groups


def _convolution(walk: Propagation, node: Node, *, transposed: bool) -> Carried:
    source, weight = node.args[:2]
    assert isinstance(source, Node) and isinstance(weight, Node)
    groups = int(argument(node, 6, "groups", 1))  # type: ignore[call-overload]
    dims, of_weight = list(walk.dims(source)), walk.dims(weight)
    for dim in of_weight[2:]:
        walk.freeze(node, dim, "is a kernel dimension")
    at = len(dims) - len(of_weight) + 1  # 1, or 0 without a batch
    for dim in dims[at + 1 :]:
        walk.freeze(node, dim, "is convolved over")
    channels, bias = dims[at], argument(node, 2, "bias")
    inner, outer = (of_weight[0], of_weight[1]) if transposed else (of_weight[1], of_weight[0])
    if groups == 1:
        _consume(walk, node, channels, inner, weight)
        out = _produce(walk, node, outer, bias)
    else:
        out = _grouped(walk, node, channels, weight, groups, transposed)
        if isinstance(bias, Node):
            walk.mark(walk.dims(bias)[0], "follows")
            out = walk.tie(node, out, walk.dims(bias)[0])
    space: list[Dim] = [None] * (len(of_weight) - 2)
    return *dims[:at], out, *space


def _grouped(walk: Propagation, node: Node, channels: Dim, weight: Node, groups: int, transposed: bool) -> Dim:
    """Ties of a grouped convolution; gives the labels of its output channels."""
    first, second = walk.dims(weight)[:2]
    into, out_of = walk.shape(weight)[:2]
    if transposed:
        in_channels, out_channels = into, out_of * groups
    else:
        in_channels, out_channels = out_of * groups, into
    assert first is not None  # groups > 1 divides its size
    whole = removes_whole_groups(groups, in_channels, out_channels)
    if whole and not _owned_by_convolution(walk, node):
        # Its number of groups stands in the user's code, where it cannot shrink.
        walk.freeze(node, first, "has a written-out number of groups")
        walk.freeze(node, channels, "has a written-out number of groups")
        walk.freeze(node, second, "has a written-out number of groups")
        return None
    rows = first.reshape(groups, -1)
    if whole:
        walk.freeze(node, second, "is part of whole groups")
        walk.mark(first, "follows" if in_channels == groups or transposed else "produces")
        walk.labels.tie(rows, np.broadcast_to(rows[:, :1], rows.shape))
        per_group = np.repeat(rows[:, 0], in_channels // groups)
        walk.tie(node, channels, per_group)
        return np.repeat(rows[:, 0], out_channels // groups)
    walk.labels.tie(rows, np.broadcast_to(rows[:1], rows.shape))
    in_labels, out_labels = (first, second) if transposed else (second, first)
    walk.mark(out_labels, "produces")
    walk.mark(in_labels, "consumes")
    if transposed:
        _consume(walk, node, channels, in_labels, weight)
        return None if out_labels is None else np.tile(out_labels, groups)
    _consume(walk, node, channels, None if in_labels is None else np.tile(in_labels, groups), weight)
    return out_labels


def _owned_by_convolution(walk: Propagation, node: Node) -> bool:
    return isinstance(walk.captured.modules.get(module_of(node)), nn.modules.conv._ConvNd)


def _consume(walk: Propagation, node: Node, channels: Dim, consumed: Dim, weight: Node) -> None:
    """`weight` reads the input's channels through its dimension `consumed`."""
    if not walk.is_weight(weight):
        walk.freeze(node, channels, "is contracted with a computed weight")
        walk.freeze(node, consumed, "is contracted with an activation")
        return
    walk.mark(consumed, "consumes")
    walk.tie(node, channels, consumed)


def _produce(walk: Propagation, node: Node, produced: Dim, bias: object) -> Dim:
    """The output's channels: a dimension of the weight, with the bias along it."""
    walk.mark(produced, "produces")
    if isinstance(bias, Node) and walk.shape(bias):
        walk.mark(walk.dims(bias)[-1], "follows")
        return walk.tie(node, produced, walk.dims(bias)[-1])
    return produced
