"""Operators that read all channels of one dimension and produce channels of another: the layers with weights.

A channel that is summed over can go if its term is zero in the masked model. That holds for weights, moved or cast or
rescaled, and for activations that are zero where channels are removed; otherwise (exp(0) is not 0) the channel stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch.fx import Node

from condensa_core.graph.labels import Channels, Dim
from condensa_core.graph.propagation import Carried, Propagation, argument, whole_number

Names = Sequence[str]


def linear(walk: Propagation, node: Node) -> Carried:
    """y = x W^T + b with W of shape out x in."""
    source, weight = node.args[:2]
    assert isinstance(source, Node) and isinstance(weight, Node)
    rows = [f"row{i}" for i in range(len(walk.shape(source)) - 1)]
    out = ["out"] if len(walk.shape(weight)) > 1 else []  # a single output may be written without its dimension
    dims = contracted(walk, node, [(source, [*rows, "in"]), (weight, [*out, "in"])], [*rows, *out])
    return _with_bias(walk, node, dims, argument(node, 2, "bias"))


def matmul(walk: Propagation, node: Node) -> Carried:
    """y = a b over the last two dimensions, with broadcasting over the others; a vector has one dimension only."""
    a, b = node.args[:2]
    assert isinstance(a, Node) and isinstance(b, Node)
    return contracted(walk, node, *_product_names(walk, a, b))


def matmul_added(walk: Propagation, node: Node) -> Carried:
    """addmm, baddbmm: y = c + a b."""
    added, a, b = node.args[:3]
    assert isinstance(added, Node) and isinstance(a, Node) and isinstance(b, Node)
    return _with_bias(walk, node, contracted(walk, node, *_product_names(walk, a, b)), added)


def einsum(walk: Propagation, node: Node) -> Carried:
    """A product of tensors by the names of their dimensions."""
    equation, tensors = node.args[:2]
    assert isinstance(equation, str)
    into, arrow, out = equation.replace(" ", "").partition("->")
    names = into.split(",")
    repeated = any(len(set(name)) < len(name) for name in names)
    if "." in equation or not arrow or repeated or len(names) != len(tensors):  # type: ignore[arg-type]
        return walk.refuse(node)
    return contracted(walk, node, list(zip(tensors, names, strict=True)), out)  # type: ignore[arg-type]


def contracted(walk: Propagation, node: Node, operands: Sequence[tuple[Node, Names]], out: Names) -> tuple[Dim, ...]:
    """What a product carries whose operands' dimensions have these names; those not in `out` are summed over.

    Two activations that share channels along a batch dimension are an attention: heads go as a whole, and what is
    summed over within a head stays.
    """
    weights = {tensor for tensor, _ in operands if walk.is_weight(tensor)}
    meeting: dict[str, list[tuple[Node, Dim]]] = {}
    full: dict[str, int] = {}
    for tensor, names in operands:
        for name, size in zip(names, walk.shape(tensor), strict=True):
            full[name] = max(full.get(name, 1), size)
    for tensor, names in operands:
        for name, size, dim in zip(names, walk.shape(tensor), walk.dims(tensor), strict=True):
            if size == full[name] > 1:  # a size of 1 broadcasts
                meeting.setdefault(name, []).append((tensor, dim))
    shared = {name for name, sides in meeting.items() if len(sides) > 1 and name in out}
    heads = [name for name in shared if all(dim is not None for _, dim in meeting[name])] if not weights else []
    carried: dict[str, Dim] = {}
    for name, sides in meeting.items():
        dim = sides[0][1]
        zero = any(other is not None and other.zero for _, other in sides)
        for _, other in sides[1:]:
            dim = walk.tie(node, dim, other)
        if name in heads:
            walk.call(dim, "head")
        for tensor, other in sides:
            if tensor in weights:
                walk.mark(other, "produces" if name in out else "consumes")
        if name in out:
            carried[name] = None if dim is None else Channels(dim.labels, zero)
        elif heads:
            walk.freeze(node, dim, "is summed over within each head")
        elif not zero:
            walk.freeze(node, dim, "is summed over without being zero")
    return tuple(carried.get(name) for name in out)


def _product_names(walk: Propagation, a: Node, b: Node) -> tuple[list[tuple[Node, Names]], Names]:
    rank_a, rank_b = len(walk.shape(a)), len(walk.shape(b))
    batch = [f"batch{i}" for i in range(max(rank_a, rank_b, 2) - 2)]
    of_a = [*batch[len(batch) - max(rank_a - 2, 0) :], "row", "sum"][-rank_a:] if rank_a > 1 else ["sum"]
    of_b = [*batch[len(batch) - max(rank_b - 2, 0) :], "sum", "column"][-rank_b:] if rank_b > 1 else ["sum"]
    out = [*batch, *(["row"] if rank_a > 1 else []), *(["column"] if rank_b > 1 else [])]
    return [(a, of_a), (b, of_b)], out


def _with_bias(walk: Propagation, node: Node, dims: tuple[Dim, ...], bias: object) -> Carried:
    """A sum with a tensor that is broadcast over the first dimensions: what it does not follow is no longer zero."""
    if not isinstance(bias, Node):
        return dims
    missing = len(dims) - len(walk.shape(bias))
    summed: list[Dim] = []
    for position, dim in enumerate(dims):
        own = position - missing
        if own >= 0 and walk.shape(bias)[own] == walk.shape(node)[position]:
            of_bias = walk.dims(bias)[own]
            walk.mark(of_bias, "follows")
            summed.append(walk.tie(node, dim, of_bias))
        else:
            summed.append(None if dim is None else Channels(dim.labels))
    return tuple(summed)


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


def _convolution(walk: Propagation, node: Node, *, transposed: bool) -> Carried:
    source, weight = node.args[:2]
    assert isinstance(source, Node) and isinstance(weight, Node)
    groups = whole_number(argument(node, 6, "groups", 1))
    dims, of_weight = list(walk.dims(source)), walk.dims(weight)
    for dim in of_weight[2:]:
        walk.freeze(node, dim, "is a kernel dimension")
    at = len(dims) - len(of_weight) + 1  # 1, or 0 without a batch
    for dim in dims[at + 1 :]:
        walk.freeze(node, dim, "is convolved over")
    channels, bias = dims[at], argument(node, 2, "bias")
    inner, outer = (of_weight[0], of_weight[1]) if transposed else (of_weight[1], of_weight[0])
    if groups == 1:
        walk.mark(inner, "consumes")
        walk.mark(outer, "produces")
        joined = walk.tie(node, channels, inner)
        if joined is not None and not (channels.zero or inner.zero):  # type: ignore[union-attr]
            walk.freeze(node, joined, "is summed over without being zero")
        out = outer
    else:
        out = _grouped(walk, node, channels, weight, groups, transposed)
    if isinstance(bias, Node):
        of_bias = walk.dims(bias)[0]
        walk.mark(of_bias, "follows")
        out = walk.tie(node, out, of_bias)
    space: list[Dim] = [None] * (len(of_weight) - 2)
    return *dims[:at], out, *space


def _grouped(walk: Propagation, node: Node, channels: Dim, weight: Node, groups: int, transposed: bool) -> Dim:
    """A convolution in groups: either whole groups go, or the same inputs and the same outputs in every group."""
    first, second = walk.dims(weight)[:2]
    into, out_of = walk.shape(weight)[:2]
    in_width, out_width = (into // groups, out_of) if transposed else (out_of, into // groups)
    if first is None:  # a computed weight: nothing is known of its channels
        walk.freeze(node, channels, "is convolved in groups with a computed weight")
        walk.freeze(node, second, "is convolved in groups with a computed weight")
        return None
    of_group = walk.labels.fresh(groups)
    if in_width > 1 or out_width > 1:
        walk.call(Channels(of_group), "group")
    in_side, out_side = second, None
    if transposed:
        walk.mark(first, "follows" if into == groups else "consumes")
        walk.mark(second, "produces")
        in_side, out_side = None, second
    else:
        walk.mark(first, "follows" if in_width == out_width == 1 else "produces")
        walk.mark(second, "consumes")
    in_channels = _in_groups(walk, node, of_group, in_width, in_side)
    out_channels = _in_groups(walk, node, of_group, out_width, out_side)
    walk.tie(node, channels, Channels(in_channels))
    if in_side is not None and not in_side.zero and not (channels is not None and channels.zero):
        walk.freeze(node, in_side, "is summed over without being zero")
    walk.labels.tie(first.labels, in_channels if transposed else out_channels)
    return Channels(out_channels, first.zero)


def _in_groups(walk: Propagation, node: Node, of_group: np.ndarray, width: int, side: Dim) -> np.ndarray:
    """Labels of groups x width channels that go by groups or by places within groups (`side`, if a tensor has it)."""
    if width == 1:
        return of_group
    in_group = walk.labels.fresh(width) if side is None else side.labels
    flat = walk.labels.fresh(len(of_group) * width)
    numbers = np.arange(len(flat))
    walk.grid(node, flat, (of_group, in_group), (numbers // width, numbers % width))
    return flat


def surviving_groups(kept: np.ndarray, channels: int, groups: int) -> int:
    """How many groups of a convolution are left when these of its weight's first `channels` rows survive."""
    return len(np.unique(kept // (channels // groups)))
