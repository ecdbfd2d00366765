"""LSTM and GRU as one operator: all gates of a hidden unit go together, in all layers and directions alike.

A hidden unit whose gates have zero weights and biases stays zero: its candidate is tanh(0), its state starts at 0.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
from torch.fx import Node

from condensa_core.graph.labels import Channels, Dim
from condensa_core.graph.propagation import Carried, Propagation, Rule, whole_number


def _recurrent(walk: Propagation, node: Node, gates: int, states: int) -> Carried:
    """`gates` stand one below the other in each weight; `states` (h, c) have shape layers x batch x units."""
    source, start, weights, has_bias, _, _, _, both_ways = node.args[:8]
    layers = whole_number(node.args[4])
    if not isinstance(source, Node) or not isinstance(weights, (list, tuple)):
        return walk.refuse(node)  # packed sequences have another signature
    initial = list(start) if isinstance(start, (list, tuple)) else [start]
    directions = 2 if both_ways else 1
    per_cell = len(weights) // (layers * directions)
    projects = per_cell > (4 if has_bias else 2)
    *outer, channels = walk.dims(source)
    for state in initial:
        number, batch, _ = walk.dims(state)  # type: ignore[arg-type]
        walk.freeze(node, number, "counts layers and directions")
        walk.freeze(node, batch, "is the batch of a recurrent state")
    hidden: Dim = walk.dims(initial[-1])[-1]  # type: ignore[arg-type]
    output: Dim = walk.dims(initial[0])[-1]  # type: ignore[arg-type]
    starts_at_zero = all((dim := walk.dims(state)[-1]) is None or dim.zero for state in initial)  # type: ignore[arg-type]
    cells = iter(weights)
    for _ in range(layers):
        outputs: list[Dim] = []
        for _ in range(directions):
            own = [next(cells) for _ in range(per_cell)]
            walk.mark(walk.dims(own[0])[1], "consumes")
            walk.tie(node, channels, walk.dims(own[0])[1])
            hidden = _cell(walk, node, own, gates, hidden)
            recurrent = walk.dims(own[1])[1]
            walk.mark(recurrent, "consumes")
            output = walk.tie(node, output, recurrent, zero=starts_at_zero)
            if projects:
                produced, consumed = walk.dims(own[-1])
                walk.mark(produced, "produces")
                walk.mark(consumed, "consumes")
                # An LSTM takes as many units as outputs for one without projection: the larger number stays.
                walk.freeze(node, walk.tie(node, hidden, consumed), "is projected to fewer outputs")
                output = walk.tie(node, output, produced, zero=starts_at_zero)
            else:
                output = walk.tie(node, output, hidden, zero=starts_at_zero)
            outputs.append(output)
        channels = _joined(outputs)
    last = (None, None)
    return [(*outer, channels), (*last, output), (*last, hidden)][: 1 + states]


def _cell(walk: Propagation, node: Node, own: list[Node], gates: int, hidden: Dim) -> Dim:
    """Ties the rows of all gates of a cell to the hidden units."""
    for tensor in own[:2] + [bias for bias in own[2:] if len(walk.shape(bias)) == 1]:
        rows = walk.dims(tensor)[0]
        assert rows is not None  # at least `gates` of them
        walk.mark(rows, "produces" if len(walk.shape(tensor)) > 1 else "follows")
        units = len(rows) // gates
        if units == 1:
            walk.freeze(node, rows, "is the only hidden unit")
            continue
        walk.call(rows, "hidden unit")
        grid = rows.labels.reshape(gates, units)
        walk.labels.tie(grid, np.broadcast_to(grid[0], grid.shape))
        hidden = walk.tie(node, hidden, Channels(grid[0], True), zero=True)
    return hidden


def _joined(outputs: list[Dim]) -> Dim:
    parts = [dim for dim in outputs if dim is not None]
    if len(parts) < len(outputs):
        return None
    return Channels(np.concatenate([part.labels for part in parts]), all(part.zero for part in parts))


lstm: Final[Rule] = partial(_recurrent, gates=4, states=2)
gru: Final[Rule] = partial(_recurrent, gates=3, states=1)
