"""Operators that combine the elements of some dimensions; channels along those must stay, the others pass."""

from __future__ import annotations

from torch.fx import Node

from condensa_core.graph.propagation import Carried, Propagation, argument, base_name


def reduction(walk: Propagation, node: Node) -> Carried:
    """sum, mean, max ...: a removed channel need not contribute zero (think of sigmoid(0)), so reduced ones stay."""
    source = walk.tensor_inputs(node)[0]
    dims = walk.dims(source)
    at = 2 if base_name(node) == "linalg_vector_norm" else 1
    reduced = _positions(argument(node, at, "dim"), len(dims))
    if len(walk.tensor_inputs(node)) > 1:  # max(a, b) is pointwise under a reduction's name
        return walk.unknown(node)
    for position in reduced:
        walk.freeze(node, dims[position], "is reduced over")
    values = node.meta["val"]
    ranks = [value.ndim for value in values] if isinstance(values, (list, tuple)) else [values.ndim]
    kept = [
        tuple(None if d in reduced else dim for d, dim in enumerate(dims) if rank == len(dims) or d not in reduced)
        for rank in ranks
    ]
    return kept if isinstance(values, (list, tuple)) else kept[0]


def rescaling(walk: Propagation, node: Node) -> Carried:
    """softmax, cumsum: same shape, but every element depends on all of its dimension."""
    dims = walk.dims(walk.tensor_inputs(node)[0])
    (over,) = _positions(argument(node, 1, "dim"), len(dims))
    walk.freeze(node, dims[over], "is normalised or accumulated over")
    return tuple(None if position == over else dim for position, dim in enumerate(dims))


def pool(walk: Propagation, node: Node) -> Carried:
    """Pooling and resizing: the last dimensions, as many as the operator's name says, are combined."""
    spatial = next(int(letter) for letter in base_name(node) if letter.isdigit())
    dims = walk.dims(walk.tensor_inputs(node)[0])
    for dim in dims[-spatial:]:
        walk.freeze(node, dim, "is pooled over")
    kept = dims[:-spatial] + (None,) * spatial
    values = node.meta["val"]
    return [kept] * len(values) if isinstance(values, (list, tuple)) else kept


def _positions(dim: object, rank: int) -> frozenset[int]:
    """The reduced positions that a `dim` argument means: all of them if it names none."""
    if dim is None or isinstance(dim, bool) or dim == []:
        return frozenset(range(rank))
    return frozenset(d % rank for d in (dim if isinstance(dim, (list, tuple)) else [dim]))  # type: ignore
