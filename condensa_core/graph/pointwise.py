"""Operators that work on each channel by itself, at the place where it stands."""

from __future__ import annotations

from typing import Final

import numpy as np
from torch.fx import Node

from condensa_core.graph.capture import shape_of
from condensa_core.graph.labels import Channels, Dim
from condensa_core.graph.propagation import Carried, Propagation, argument, base_name, whole_number


def pointwise(walk: Propagation, node: Node) -> Carried:
    """Operands that meet along a dimension carry the same channels there; broadcast operands have no say."""
    if isinstance(node.meta.get("val"), (list, tuple)):
        return walk.refuse(node)
    shape, sources = walk.shape(node), walk.tensor_inputs(node)
    for divisor in _divisors(node):
        for divided in walk.dims(divisor):
            if divided is not None and divided.zero:  # 0 / 0 in the masked model, as in weight / weight.norm()
                walk.freeze(node, divided, "would be divided by zero")
    out: list[Dim] = []
    for position, size in enumerate(shape):
        meeting: dict[Node, Dim] = {}
        for source in sources:
            own = position - len(shape) + len(walk.shape(source))
            if own >= 0 and walk.shape(source)[own] == size:
                meeting[source] = walk.dims(source)[own]
        # A size-1 dimension carries nothing (see labels.Dim), so ties never see one.
        dim: Dim = None
        for number, other in enumerate(meeting.values()):
            dim = walk.tie(node, dim, other) if number else other
        zero = {source for source, other in meeting.items() if other is not None and other.zero}
        out.append(None if dim is None else Channels(dim.labels, _stays_zero(node, sources, zero)))
    return tuple(out)


def created_like(walk: Propagation, node: Node) -> Carried:
    """zeros_like and its kin: one value everywhere, in sizes that follow those of another tensor."""
    zero = base_name(node).startswith("zeros")
    return tuple(None if dim is None else Channels(dim.labels, zero) for dim in walk.dims(walk.tensor_inputs(node)[0]))


def created(walk: Propagation, node: Node) -> Carried:
    """zeros, ones, full: one value everywhere, in sizes that are written out."""
    return walk.created(node, zero=base_name(node) in ("zeros", "new_zeros"))


def filled(walk: Propagation, node: Node) -> Carried:
    """zero_, fill_: the same number everywhere, in place."""
    to_zero = base_name(node).startswith("zero")
    dims = walk.dims(walk.tensor_inputs(node)[0])
    return tuple(None if dim is None else Channels(dim.labels, to_zero) for dim in dims)


def prelu(walk: Propagation, node: Node) -> Carried:
    """One slope per channel of dimension 1, or one for all."""
    source, slopes = walk.tensor_inputs(node)[:2]
    dims = list(walk.dims(source))
    if walk.shape(slopes) and walk.shape(slopes)[0] > 1:
        channel = 1 if len(dims) > 1 else 0
        zero = dims[channel] is not None and dims[channel].zero  # type: ignore[union-attr]
        dims[channel] = walk.tie(node, dims[channel], walk.dims(slopes)[0], zero=zero)
    return tuple(dims)


def glu(walk: Propagation, node: Node) -> Carried:
    """a * sigmoid(b) for the halves a, b of a dimension: channel i of a goes with channel i of b."""
    dims = list(walk.dims(walk.tensor_inputs(node)[0]))
    axis = whole_number(argument(node, 1, "dim", -1)) % len(dims)
    if (dim := dims[axis]) is not None:
        half = len(dim) // 2
        if half > 1:
            dims[axis] = walk.tie(node, dim.at(slice(half)), dim.at(slice(half, None)))
        else:
            dims[axis] = None
            walk.freeze(node, dim, "is halved to a single channel")
    return tuple(dims)


def channel_shuffle(walk: Propagation, node: Node) -> Carried:
    """Dimension 1 read as groups x rest and transposed: the number of groups is fixed, so rest shrinks in all alike."""
    dims = list(walk.dims(walk.tensor_inputs(node)[0]))
    if (dim := dims[1]) is not None:
        groups = dim.labels.reshape(whole_number(argument(node, 1, "groups")), -1)
        walk.labels.tie(groups, np.broadcast_to(groups[0], groups.shape))
        dims[1] = Channels(groups.T.ravel(), dim.zero)
    return tuple(dims)


def _divisors(node: Node) -> list[Node]:
    """Operands that must not become zero."""
    name = base_name(node).rstrip("_")
    if name in _INVERSES:
        return [source for source in node.args[:1] if isinstance(source, Node)]
    return [source for source in node.args[1:2] if name in _QUOTIENTS and isinstance(source, Node)]


def _stays_zero(node: Node, sources: list[Node], zero: set[Node]) -> bool:
    """Whether the value is zero where these of its operands are, along a dimension that they share with it."""
    name = base_name(node).rstrip("_")
    if name in ("mul", "multiply"):
        return bool(zero)
    if name in _QUOTIENTS:
        return node.args[0] in zero
    return len(zero) == len(sources) and _keeps_zero(node)  # all of them, none broadcast


def _keeps_zero(node: Node) -> bool:
    """Whether the operator makes zero of nothing but zeros; another operand that is a number must not be added."""
    name = base_name(node)
    name = name.rstrip("_") if not name.startswith("_") else name
    numbers = [
        number
        for number in node.args
        if isinstance(number, (int, float)) or (isinstance(number, Node) and shape_of(number) is None)
    ]
    if name in ("clamp", "clip", "hardtanh"):
        low, high = argument(node, 1, "min", None), argument(node, 2, "max", None)
        low, high = (-1, 1) if name == "hardtanh" and not numbers else (low, high)
        return all(bound is None or isinstance(bound, (int, float)) for bound in (low, high)) and (
            (low is None or low <= 0) and (high is None or high >= 0)  # type: ignore[operator]
        )
    return name in _KEEPING_ZERO or (name in _SUMS and not numbers)


_SUMS: Final = frozenset(("add", "sub", "subtract", "maximum", "minimum", "where"))
_QUOTIENTS: Final = frozenset(("div", "divide", "true_divide"))
_INVERSES: Final = frozenset(("reciprocal", "rsqrt", "log", "log2", "log10"))
_KEEPING_ZERO: Final = frozenset(
    {"_to_copy", "abs", "absolute", "alias", "alpha_dropout", "asin", "asinh", "atan", "atanh", "celu"}
    | {"clone", "contiguous", "copy", "detach", "dropout", "elu", "erf", "expm1", "feature_alpha_dropout"}
    | {"feature_dropout", "floor", "gelu", "hardshrink", "hardswish", "leaky_relu"}
    | {"lift_fresh_copy", "log1p", "mish", "neg", "negative", "nan_to_num", "relu", "relu6", "round", "selu"}
    | {"sgn", "sign", "silu", "sin", "sinh", "softshrink", "sqrt", "square", "tan", "tanh", "to", "trunc"}
    | {"type_as"}
)
