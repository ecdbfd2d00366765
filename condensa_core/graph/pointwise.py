"""Operators that work on each channel by itself, at the place where it stands."""

from __future__ import annotations

from typing import Final

import numpy as np
from torch.fx import Node

from condensa_core.graph.labels import Channels, Dim
from condensa_core.graph.propagation import Carried, Propagation, argument, base_name, whole_number


def pointwise(walk: Propagation, node: Node) -> Carried:
    """Operands that meet along a dimension carry the same channels there; broadcast operands have no say."""
    if isinstance(node.meta.get("val"), (list, tuple)):
        return walk.refuse(node)
    shape, sources = walk.shape(node), walk.tensor_inputs(node)
    keeps_zero = _keeps_zero(node)
    out: list[Dim] = []
    for position, size in enumerate(shape):
        meeting = []
        for source in sources:
            own = position - len(shape) + len(walk.shape(source))
            if own >= 0 and walk.shape(source)[own] == size:
                meeting.append(walk.dims(source)[own])
        # A size-1 dimension carries nothing (see labels.Dim), so ties never see one.
        dim = meeting[0] if meeting else None
        for other in meeting[1:]:
            dim = walk.tie(node, dim, other)
        if dim is not None:
            # A product is zero where a factor is; anything else where all operands are, and none is broadcast.
            zeros = [other is not None and other.zero for other in meeting]
            zero = any(zeros) if _is_product(node) else all(zeros) and len(meeting) == len(sources) and keeps_zero
            dim = Channels(dim.labels, zero)
        out.append(dim)
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


def _is_product(node: Node) -> bool:
    return base_name(node).rstrip("_") in ("mul", "multiply")


def _keeps_zero(node: Node) -> bool:
    """Whether the operator makes zero of nothing but zeros; another operand that is a number must not be added."""
    name = base_name(node)
    name = name.rstrip("_") if not name.startswith("_") else name
    numbers = [number for number in node.args if isinstance(number, (int, float))]
    if name in ("clamp", "clip", "hardtanh"):
        low, high = argument(node, 1, "min", None), argument(node, 2, "max", None)
        low, high = (-1, 1) if name == "hardtanh" and not numbers else (low, high)
        return all(bound is None or isinstance(bound, (int, float)) for bound in (low, high)) and (
            (low is None or low <= 0) and (high is None or high >= 0)  # type: ignore[operator]
        )
    return name in _KEEPING_ZERO or (name in _SUMS and not numbers) or (name in _QUOTIENTS and bool(numbers))


_SUMS: Final = frozenset(("add", "sub", "subtract", "maximum", "minimum", "where"))
_QUOTIENTS: Final = frozenset(("div", "divide"))  # by a number; zero by zero is none
_KEEPING_ZERO: Final = frozenset(
    {"_to_copy", "abs", "absolute", "alias", "alpha_dropout", "asin", "asinh", "atan", "atanh", "celu"}
    | {"clone", "contiguous", "copy", "detach", "dropout", "elu", "erf", "expm1", "feature_alpha_dropout"}
    | {"feature_dropout", "floor", "gelu", "hardshrink", "hardswish", "leaky_relu"}
    | {"lift_fresh_copy", "log1p", "mish", "neg", "negative", "nan_to_num", "relu", "relu6", "round", "selu"}
    | {"sgn", "sign", "silu", "sin", "sinh", "softshrink", "sqrt", "square", "tan", "tanh", "to", "trunc"}
    | {"type_as"}
)
