"""Operators that work on each channel by itself, at the place where it stands."""

from __future__ import annotations

import numpy as np
from torch.fx import Node

from condensa_core.graph.labels import Dim
from condensa_core.graph.propagation import Carried, Propagation, argument, nothing


def pointwise(walk: Propagation, node: Node) -> Carried:
    """Operands that meet along a dimension carry the same channels there; broadcast operands have no say."""
    if isinstance(node.meta.get("val"), (list, tuple)):
        return walk.unknown(node)
    shape = walk.shape(node)
    out: list[Dim] = []
    for position, size in enumerate(shape):
        meeting = []
        for source in walk.tensor_inputs(node):
            own = position - len(shape) + len(walk.shape(source))
            if own >= 0 and walk.shape(source)[own] == size:
                meeting.append(walk.dims(source)[own])
        # A size-1 dimension carries nothing (see labels.Dim), so ties never see one.
        dim = meeting[0] if meeting else None
        for other in meeting[1:]:
            dim = walk.tie(node, dim, other)
        out.append(dim)
    return tuple(out)


def prelu(walk: Propagation, node: Node) -> Carried:
    """One slope per channel of dimension 1, or one for all."""
    source, slopes = walk.tensor_inputs(node)[:2]
    dims = list(walk.dims(source))
    if walk.shape(slopes) and walk.shape(slopes)[0] > 1:
        channel = 1 if len(dims) > 1 else 0
        dims[channel] = walk.tie(node, dims[channel], walk.dims(slopes)[0])
    return tuple(dims)


def glu(walk: Propagation, node: Node) -> Carried:
    """a * sigmoid(b) for the halves a, b of a dimension: channel i of a goes with channel i of b."""
    dims = list(walk.dims(walk.tensor_inputs(node)[0]))
    axis = int(argument(node, 1, "dim", -1)) % len(dims)  # type: ignore[call-overload]
    if (dim := dims[axis]) is not None:
        a, b = np.split(dim, 2)
        dims[axis] = walk.tie(node, a, b) if len(a) > 1 else None
        if len(a) == 1:
            walk.freeze(node, dim, "is halved to a single channel")
    return tuple(dims)


def channel_shuffle(walk: Propagation, node: Node) -> Carried:
    """Dimension 1 read as groups x rest and transposed: the number of groups is fixed, so rest shrinks in all alike."""
    dims = list(walk.dims(walk.tensor_inputs(node)[0]))
    if (dim := dims[1]) is not None:
        groups = dim.reshape(int(argument(node, 1, "groups")), -1)  # type: ignore[call-overload]
        walk.labels.tie(groups, np.broadcast_to(groups[0], groups.shape))
        dims[1] = groups.T.ravel()
    return tuple(dims)


def sized_by_literals(walk: Propagation, node: Node) -> Carried:
    """A constant whose sizes are written out: it reads no channel and cannot shrink with one."""
    return nothing(node)
