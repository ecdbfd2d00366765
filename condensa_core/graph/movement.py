"""Operators that only move elements: views, permutations, concatenations, slices.

No formula per operator: the real operator is run on a tensor whose elements are their own coordinate along one
dimension, and where the coordinates land says where the channels went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from condensa_core.graph.capture import shape_of
from condensa_core.graph.labels import Dim
from condensa_core.graph.propagation import Carried, Propagation, argument, base_name, nothing


def concatenation(walk: Propagation, node: Node) -> Carried:
    """Labels are joined as the tensors are; the other dimensions tie. By hand: dense blocks join dozens of tensors."""
    sources = [source for source in node.args[0] if isinstance(source, Node)]  # type: ignore[union-attr]
    sources = [source for source in sources if walk.shape(source) != (0,)]  # torch lets an empty vector join anything
    shape = walk.shape(node)
    axis = int(argument(node, 1, "dim", 0)) % len(shape)  # type: ignore[call-overload]
    out: list[Dim] = []
    for position in range(len(shape)):
        dims = [walk.dims(source)[position] for source in sources]
        if position != axis:
            joined = dims[0]
            for dim in dims[1:]:
                joined = walk.tie(node, joined, dim)
        elif all(dim is None for dim in dims):
            joined = None
        else:
            parts = [
                _fixed(walk, node, walk.shape(source)[axis]) if dim is None else dim
                for source, dim in zip(sources, dims, strict=True)
            ]
            joined = np.concatenate(parts)
        out.append(joined)
    return tuple(out)


def chunk(walk: Propagation, node: Node) -> Carried:
    """Equal parts of a dimension: the number of parts is fixed, so position i goes in all parts or in none."""
    source, size_or_count = node.args[:2]
    assert isinstance(source, Node)
    dims = walk.dims(source)
    axis = int(argument(node, 2, "dim", 0)) % len(dims)  # type: ignore[call-overload]
    dim = dims[axis]
    sizes = [value.shape[axis] for value in node.meta["val"]]
    if dim is None or len(set(sizes)) > 1 or not isinstance(size_or_count, int):
        return section(walk, node)
    if sizes[0] == 1:
        walk.freeze(node, dim, "is split into single channels")
        part: Dim = None
    else:
        parts = dim.reshape(len(sizes), -1)
        walk.labels.tie(parts, np.broadcast_to(parts[0], parts.shape))
        part = parts[0]
    return [(*dims[:axis], part, *dims[axis + 1 :]) for _ in sizes]


def section(walk: Propagation, node: Node) -> Carried:
    """Moves by written-out positions (slice, pad, roll): a dimension whose channels change place must stay whole."""
    return _moved(walk, node, written_out=True)


def movement(walk: Propagation, node: Node) -> Carried:
    """Moves that follow the sizes: views, permutations, repetitions."""
    return _moved(walk, node, written_out=False)


@dataclass(eq=False)
class _Landing:
    """The labels that have landed along one output dimension (-1: none), and from which input dimensions."""

    labels: np.ndarray
    origins: list[tuple[Node, int]] = field(default_factory=list)


def _moved(walk: Propagation, node: Node, *, written_out: bool) -> Carried:
    values = node.meta["val"]
    several = isinstance(values, (list, tuple))
    shapes = [tuple(value.shape) for value in values] if several else [walk.shape(node)]
    landings = [[_Landing(np.full(size, -1)) for size in shape] for shape in shapes]
    for source in walk.tensor_inputs(node):
        for axis, dim in enumerate(walk.dims(source)):
            if dim is None:
                continue
            try:
                outputs = _on_coordinates(node, source, axis)
            except (RuntimeError, NotImplementedError, TypeError):
                return walk.unknown(node)
            for landing, coordinates in zip(landings, outputs, strict=True):
                _land(walk, node, source, axis, coordinates, landing, written_out)
    carried = [tuple(_settled(walk, node, landing) for landing in output) for output in landings]
    if not any(dim is not None for output in carried for dim in output):
        return nothing(node)
    return carried if several else carried[0]


def _on_coordinates(node: Node, source: Node, axis: int) -> list[np.ndarray]:
    """The operator's outputs when `source` holds 1 + its coordinate along `axis`, and every other tensor zeros."""

    def stand_in(argument: Node) -> Any:
        shape = shape_of(argument)
        if shape is None:
            return argument.meta.get("val")
        if argument is not source:
            return torch.zeros(shape)
        # float32 is exact to 2^24 and known to every operator, which integers are not
        ramp = torch.arange(1.0, shape[axis] + 1)
        return ramp.view([-1 if d == axis else 1 for d in range(len(shape))]).expand(shape).contiguous()

    args, kwargs = map_arg((node.args, dict(node.kwargs)), stand_in)
    if base_name(node) in ("constant_pad_nd", "pad"):  # pad with zeros: the value would read as a coordinate
        args = args[:2] if base_name(node) == "constant_pad_nd" else args[:3]
        kwargs = {name: value for name, value in kwargs.items() if name != "value"}
    with torch.no_grad():
        outputs = node.target(*args, **kwargs)  # type: ignore[operator]
    outputs = [outputs] if isinstance(outputs, Tensor) else outputs
    return [output.numpy().astype(np.int64) for output in outputs]


def _land(
    walk: Propagation,
    node: Node,
    source: Node,
    axis: int,
    coordinates: np.ndarray,
    landing: list[_Landing],
    written_out: bool,
) -> None:
    """Enters one input dimension's labels where its coordinates arrived in one output."""
    dim = walk.dims(source)[axis]
    assert dim is not None
    arrived = np.unique(coordinates[coordinates > 0])
    if arrived.max(initial=0) > len(dim):
        walk.freeze(node, dim, "is reinterpreted")
        return
    if len(arrived) < len(dim):
        walk.freeze(node, dim, "is cut at written-out positions")
        if len(arrived) < 2:
            return
    for position in range(coordinates.ndim):
        rows = np.moveaxis(coordinates, position, 0).reshape(coordinates.shape[position], -1)
        top = rows.max(axis=1, initial=0)
        if len(np.unique(top[top > 0])) > 1 and bool(((rows == top[:, None]) | (rows == 0)).all()):
            if written_out and not np.array_equal(top, np.arange(1, len(dim) + 1)):
                walk.freeze(node, dim, "is cut at written-out positions")
            _enter(walk, node, (source, axis), landing[position], np.where(top > 0, dim[top - 1], -1))
            return
    split = _split(coordinates, len(dim))
    carrier = None if len(arrived) < len(dim) else _carrier(node, coordinates, split)
    if carrier is None:
        walk.freeze(node, dim, "is split in a way that fixes its size")
        return
    part = split[carrier]
    labels = np.full(coordinates.shape[carrier], -1)
    labels[part[::-1]] = dim[::-1]  # the first channel of each part stands for it
    walk.labels.tie(dim, labels[part])
    _enter(walk, node, (source, axis), landing[carrier], labels)


def _split(coordinates: np.ndarray, size: int) -> dict[int, np.ndarray]:
    """Output dimensions along which every input channel has one place: position -> place of each channel."""
    places = {}
    for position, length in enumerate(coordinates.shape):
        if length == 1:
            continue
        rows = np.moveaxis(coordinates, position, 0).reshape(length, -1)
        number = np.broadcast_to(np.arange(length)[:, None], rows.shape)
        low, high = np.full(size + 1, length), np.full(size + 1, -1)
        np.minimum.at(low, rows.ravel(), number.ravel())
        np.maximum.at(high, rows.ravel(), number.ravel())
        if np.array_equal(low[1:], high[1:]) and low[1:].min() < high[1:].max():
            places[position] = low[1:]
    return places


def _carrier(node: Node, coordinates: np.ndarray, split: dict[int, np.ndarray]) -> int | None:
    """Which part of a split dimension shrinks with it: the one written -1, else the longest (the last of equals).

    If -1 stands where the channels vary but have no single place, the other parts are fixed and nothing can shrink.
    """
    if not split:
        return None
    inferred = _inferred_position(node)
    if inferred is not None and inferred not in split:
        varies = coordinates.max(axis=inferred) != coordinates.min(axis=inferred)
        if bool(varies.any()):
            return None
    if inferred in split:
        return inferred
    return max(split, key=lambda position: (coordinates.shape[position], position))


def _inferred_position(node: Node) -> int | None:
    """The output dimension that a view's sizes leave open (-1)."""
    sizes, before = (node.args[2], int(node.args[1])) if base_name(node) == "unflatten" else (node.args[-1], 0)  # type: ignore
    if not isinstance(sizes, Sequence) or -1 not in sizes:
        return None
    rank = len(shape_of(node.all_input_nodes[0]) or ())
    return before % rank + sizes.index(-1)


def _enter(walk: Propagation, node: Node, origin: tuple[Node, int], landing: _Landing, labels: np.ndarray) -> None:
    both = (landing.labels >= 0) & (labels >= 0)
    if both.any():
        if any(source is origin[0] for source, _ in landing.origins):
            # Two dimensions of one tensor became one: a channel of either is scattered over channels of the other.
            walk.freeze(node, landing.labels[landing.labels >= 0], "is merged with another dimension")
            walk.freeze(node, labels[labels >= 0], "is merged with another dimension")
        else:
            walk.labels.tie(landing.labels[both], labels[both])
    landing.labels = np.where(landing.labels >= 0, landing.labels, labels)
    landing.origins.append(origin)


def _settled(walk: Propagation, node: Node, landing: _Landing) -> Dim:
    """What an output dimension carries; places where nothing landed are new channels that must stay."""
    empty = landing.labels < 0
    if empty.all() or len(landing.labels) == 1:
        return None
    if empty.any():
        landing.labels[empty] = _fixed(walk, node, int(empty.sum()))
    return landing.labels


def _fixed(walk: Propagation, node: Node, count: int) -> np.ndarray:
    labels = walk.labels.fresh(count)
    walk.freeze(node, labels, "is joined with channels that are fixed")
    return labels
