"""Scaled dot-product attention as one operator: heads go as a whole, or the width of a single one."""

from __future__ import annotations

import numpy as np
from torch.fx import Node

from condensa_core.graph.labels import Channels, Dim
from condensa_core.graph.propagation import Carried, Propagation, argument


def attention(walk: Propagation, node: Node) -> Carried:
    """softmax(q k^T / sqrt(width) + mask) v over the last two dimensions; the ones before are batch and heads.

    Grouped queries: a head of keys and values goes with all the heads of queries that read it.
    """
    q, k, v = (source for source in node.args[:3])
    assert isinstance(q, Node) and isinstance(k, Node) and isinstance(v, Node)
    of_q, of_k, of_v = walk.dims(q), walk.dims(k), walk.dims(v)
    out: list[Dim] = []
    for position in range(len(of_q) - 2):
        head = _repeated(of_k[position], of_v[position], walk, node, position, q, k)
        dim = walk.tie(node, of_q[position], head)
        walk.call(dim, "head")
        zero = of_v[position] is not None and of_v[position].zero  # type: ignore[union-attr]
        out.append(None if dim is None else Channels(dim.labels, zero))
    walk.freeze(node, walk.tie(node, of_k[-2], of_v[-2]), "is a position that softmax normalises over")
    width = walk.tie(node, of_q[-1], of_k[-1])
    if any(dim is not None for dim in out):
        walk.freeze(node, width, "is summed over within each head")
    elif width is not None and not (of_q[-1].zero or of_k[-1].zero):  # type: ignore[union-attr]
        walk.freeze(node, width, "is summed over without being zero")
    _masked(walk, node, out, of_q[-2])
    rows = None if of_q[-2] is None else Channels(of_q[-2].labels)
    return *out, rows, of_v[-1]


def _repeated(of_k: Dim, of_v: Dim, walk: Propagation, node: Node, position: int, q: Node, k: Node) -> Dim:
    """The common heads of keys and values, each as often as queries read it."""
    head = walk.tie(node, of_k, of_v)
    times = walk.shape(q)[position] // walk.shape(k)[position]
    return head if head is None or times == 1 else Channels(np.repeat(head.labels, times), head.zero)


def _masked(walk: Propagation, node: Node, heads: list[Dim], rows: Dim) -> None:
    mask = argument(node, 3, "attn_mask")
    if not isinstance(mask, Node):
        return
    for back, dim in enumerate(reversed(walk.dims(mask)), start=1):
        if back == 1:
            walk.freeze(node, dim, "is a position that softmax normalises over")
        elif walk.shape(mask)[-back] > 1:
            other = rows if back == 2 else heads[-(back - 2)]
            walk.tie(node, dim, other)
