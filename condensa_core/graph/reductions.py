"""Operators that combine the elements of some dimensions; channels along the other dimensions pass."""

from __future__ import annotations

from typing import Final

from torch.fx import Node

from condensa_core.graph.labels import Channels, Dim
from condensa_core.graph.propagation import Carried, Propagation, argument, base_name


def reduction(walk: Propagation, node: Node) -> Carried:
    """sum, mean, max ...: a sum does not miss channels that are zero, and a mean is then one over the survivors.

    Elsewhere a removed channel need not contribute zero (think of sigmoid(0)), so reduced ones stay.
    """
    if len(walk.tensor_inputs(node)) > 1:  # max(a, b) is pointwise under a reduction's name
        return walk.refuse(node)
    name, dims = base_name(node), walk.dims(walk.tensor_inputs(node)[0])
    reduced = _positions(argument(node, 2 if name == "linalg_vector_norm" else 1, "dim"), len(dims))
    for position in reduced:
        dim = dims[position]
        if dim is not None and name in _MEANS and not (name != "mean" and _is_corrected(node)):
            walk.average(node, position, dim)
        elif dim is None or not (dim.zero and _is_sum(node)):
            walk.freeze(node, dim, "is reduced over")
    keeps_zero = name in _KEEPING_ZERO
    passing = [None if dim is None else Channels(dim.labels, dim.zero and keeps_zero) for dim in dims]
    values = node.meta["val"]
    ranks = [value.ndim for value in values] if isinstance(values, (list, tuple)) else [values.ndim]
    kept = [
        tuple(None if d in reduced else dim for d, dim in enumerate(passing) if rank == len(dims) or d not in reduced)
        for rank in ranks
    ]
    return kept if isinstance(values, (list, tuple)) else kept[0]


def rescaling(walk: Propagation, node: Node) -> Carried:
    """softmax, cumsum: same shape, but every element depends on all of its dimension."""
    dims = walk.dims(walk.tensor_inputs(node)[0])
    (over,) = _positions(argument(node, 1, "dim"), len(dims))
    walk.freeze(node, dims[over], "is normalised or accumulated over")
    accumulates = base_name(node) in ("cumsum", "cumprod")
    return tuple(
        None if position == over or dim is None else Channels(dim.labels, dim.zero and accumulates)
        for position, dim in enumerate(dims)
    )


def pool(walk: Propagation, node: Node) -> Carried:
    """Pooling and resizing: the last dimensions, as many as the operator's name says, are combined."""
    spatial = next(int(letter) for letter in base_name(node) if letter.isdigit())
    dims = walk.dims(walk.tensor_inputs(node)[0])
    for dim in dims[-spatial:]:
        walk.freeze(node, dim, "is pooled over")
    nothing_left: tuple[Dim, ...] = (None,) * spatial
    kept = dims[:-spatial] + nothing_left
    values = node.meta["val"]
    return [kept] * len(values) if isinstance(values, (list, tuple)) else kept


def _is_corrected(node: Node) -> bool:
    """Whether a variance divides by n - 1: of a single survivor there is none."""
    if "correction" in str(node.target):
        return argument(node, 2, "correction", 1) != 0
    return argument(node, 2, "unbiased", True) is not False


def _is_sum(node: Node) -> bool:
    """Whether zeros do not count: sums, and the norms that are sums of powers or of magnitudes."""
    name = base_name(node)
    return name == "sum" or (name == "linalg_vector_norm" and argument(node, 1, "ord", 2) in (1, 1.0, 2, 2.0))


def _positions(dim: object, rank: int) -> frozenset[int]:
    """The reduced positions that a `dim` argument means: all of them if it names none."""
    if dim is None or isinstance(dim, bool) or dim == []:
        return frozenset(range(rank))
    return frozenset(d % rank for d in (dim if isinstance(dim, (list, tuple)) else [dim]))  # type: ignore


_MEANS: Final = frozenset(("mean", "var", "std", "var_mean", "std_mean"))
_KEEPING_ZERO: Final = _MEANS | {"sum", "amax", "amin", "max", "min", "linalg_vector_norm"}
