"""Norms that treat every channel by itself. (Layer and group norms mix channels: they have no rule here.)"""

from __future__ import annotations

from torch.fx import Node

from condensa_core.graph.propagation import Carried, Propagation


def channel_norm(walk: Propagation, node: Node) -> Carried:
    """batch_norm, instance_norm: parameters and statistics travel with dimension 1; the rest is averaged over."""
    source, *affine = walk.tensor_inputs(node)
    dims = list(walk.dims(source))
    for tensor in affine:
        walk.mark(walk.dims(tensor)[0], "follows")
        dims[1] = walk.tie(node, dims[1], walk.dims(tensor)[0])
    for position, dim in enumerate(dims):
        if position != 1:
            walk.freeze(node, dim, "is normalised over")
    return tuple(dim if position == 1 else None for position, dim in enumerate(dims))
