"""Norms: those that treat every channel by itself, and those that average over channels."""

from __future__ import annotations

import numpy as np
from torch.fx import Node

from condensa_core.graph.labels import Channels, Dim
from condensa_core.graph.propagation import Carried, Propagation, argument, base_name, whole_number


def channel_norm(walk: Propagation, node: Node) -> Carried:
    """batch_norm, instance_norm: parameters and statistics travel with dimension 1; the rest is averaged over."""
    source, *affine = walk.tensor_inputs(node)
    dims = list(walk.dims(source))
    channels = _affine(walk, node, dims[1], affine)
    if argument(node, 5, "training", False) is True:  # statistics of this very input
        for position, dim in enumerate(dims):
            if position != 1:
                walk.average(node, position, dim)
    else:
        for position, dim in enumerate(dims):
            if position != 1:
                walk.freeze(node, dim, "is normalised over")
        return None, channels, *(None for _ in dims[2:])
    # Where a removed position of an averaged dimension reads zero before, the norm has moved it: no longer zero.
    rest = [None if dim is None else Channels(dim.labels) for dim in dims]
    return rest[0], channels, *rest[2:]


def layer_norm(walk: Propagation, node: Node) -> Carried:
    """layer_norm, rms_norm: averages over the last dimensions, with weights and biases along them."""
    source, *affine = walk.tensor_inputs(node)
    dims = walk.dims(source)
    over = len(argument(node, 1, "normalized_shape"))  # type: ignore[arg-type]
    if over > 1:
        for dim in dims[-over:]:
            walk.freeze(node, dim, "is normalised together with other dimensions")
        for tensor in affine:
            walk.freeze_all(node, tensor, "belongs to dimensions that are normalised together")
        none: tuple[Dim, ...] = (None,) * over
        return *_shifted(dims[:-over]), *none
    channels = _affine(walk, node, dims[-1], affine)
    walk.average(node, len(dims) - 1, channels)
    return *_shifted(dims[:-1]), channels


def group_norm(walk: Propagation, node: Node) -> Carried:
    """group_norm: averages over the channels of each group; whole groups go exactly, places within groups do not."""
    source, *affine = walk.tensor_inputs(node)
    dims = list(walk.dims(source))
    groups = whole_number(argument(node, 1, "num_groups"))
    for dim in dims[2:]:
        walk.freeze(node, dim, "is normalised over")
    channels = _affine(walk, node, dims[1], affine)
    width = walk.shape(source)[1] // groups
    if channels is not None and groups == 1:
        walk.average(node, 1, channels)
    elif channels is not None and width > 1:
        of_group, in_group = walk.labels.fresh(groups), walk.labels.fresh(width)
        numbers = np.arange(groups * width)
        walk.call(Channels(of_group), "group")
        walk.grid(node, channels.labels, (of_group, in_group), (numbers // width, numbers % width))
        if walk.strict:
            walk.freeze(node, Channels(in_group), "is averaged over")
        else:
            walk.average(node, 1, Channels(in_group))
    rest: tuple[Dim, ...] = (None,) * len(dims[2:])
    return _shifted(dims[:1])[0], channels, *rest


def _affine(walk: Propagation, node: Node, channels: Dim, affine: list[Node]) -> Dim:
    """The channels, tied to the norm's own tensors: where its weight and bias are zero, so is what comes out."""
    for tensor in affine:
        walk.mark(walk.dims(tensor)[0], "follows")
        channels = walk.tie(node, channels, walk.dims(tensor)[0])
    return channels if channels is None else Channels(channels.labels, zero=_scales_to_zero(walk, node))


def _scales_to_zero(walk: Propagation, node: Node) -> bool:
    first = 1 if base_name(node) in ("batch_norm", "instance_norm") else 2
    weight, bias = argument(node, first, "weight"), argument(node, first + 1, "bias")
    zeros = [
        (dim := walk.dims(tensor)[0]) is not None and dim.zero for tensor in (weight, bias) if isinstance(tensor, Node)
    ]
    return isinstance(weight, Node) and all(zeros)


def _shifted(dims: tuple[Dim, ...] | list[Dim]) -> tuple[Dim, ...]:
    """Dimensions that pass by a norm: its bias makes something of zero."""
    return tuple(None if dim is None else Channels(dim.labels) for dim in dims)
