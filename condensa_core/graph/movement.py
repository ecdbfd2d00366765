"""Operators that only move elements: views, permutations, concatenations, slices, repetitions.

Where the positions along one input dimension arrive is described by *sides*: along some output dimension, position j
holds those channels whose place on that side is `of_position[j]`. One side with a place of its own for each channel is
the plain case; a dimension that a view splits has several. Views and permutations are solved from their shapes; every
other operator is run on a tensor whose elements are their own coordinate, and where they land says where channels went.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from condensa_core.graph.capture import example_size, shape_of, sizes_of
from condensa_core.graph.labels import Channels, Dim, Dims
from condensa_core.graph.propagation import Carried, Propagation, argument, base_name, nothing, whole_number


@dataclass(frozen=True, eq=False)
class Side:
    """Along output dimension `dim`, position j holds the channels with place `of_position[j]`; -1 in either: none."""

    dim: int
    place: np.ndarray  # of every input channel
    of_position: np.ndarray  # of every output position


# What arrives of one source in one output: channels, and the sides along which they stand there.
Arrivals = list[tuple[Channels, list[Side]]]


class Scattered(Exception):
    """The channels of the dimension cannot be found again in the output."""


def concatenation(walk: Propagation, node: Node) -> Carried:
    """Labels are joined as the tensors are; the other dimensions tie. By hand: dense blocks join dozens of tensors."""
    sources = [source for source in node.args[0] if isinstance(source, Node)]  # type: ignore[union-attr]
    sources = [source for source in sources if walk.shape(source) != (0,)]  # torch lets an empty vector join anything
    shape = walk.shape(node)
    axis = whole_number(argument(node, 1, "dim", 0)) % len(shape)
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
                Channels(_fixed(walk, node, walk.shape(source)[axis])) if dim is None else dim
                for source, dim in zip(sources, dims, strict=True)
            ]
            joined = Channels(
                np.concatenate([part.labels for part in parts]),
                all(dim.zero for dim in dims if dim is not None),
            )
        out.append(joined)
    return tuple(out)


def chunk(walk: Propagation, node: Node) -> Carried:
    """Equal parts of a dimension: the number of parts is fixed, so position i goes in all parts or in none."""
    source = node.args[0]
    assert isinstance(source, Node)
    dims = walk.dims(source)
    axis = whole_number(argument(node, 2, "dim", 0)) % len(dims)
    dim = dims[axis]
    sizes = [sizes_of(value)[axis] for value in node.meta["val"]]
    if dim is None or len(set(sizes)) > 1:
        return section(walk, node)
    if sizes[0] == 1:
        walk.freeze(node, dim, "is split into single channels")
        part: Dim = None
    else:
        parts = dim.labels.reshape(len(sizes), -1)
        walk.labels.tie(parts, np.broadcast_to(parts[0], parts.shape))
        part = Channels(parts[0], dim.zero)
    return [(*dims[:axis], part, *dims[axis + 1 :]) for _ in sizes]


def reshaped(walk: Propagation, node: Node) -> Carried:
    """A view of the same elements in the same order."""
    (source,) = walk.tensor_inputs(node)[:1]
    before, after = walk.shape(source), walk.shape(node)
    if math.prod(before) != math.prod(after):
        return walk.refuse(node)  # a view of the same bytes as another type
    arrivals = []
    for axis, dim in enumerate(walk.dims(source)):
        if dim is None:
            continue
        try:
            arrivals.append((dim, _sides_of_view(before, after, axis)))
        except Scattered:
            walk.freeze(node, dim, "is reinterpreted")
    return _landed(walk, node, [arrivals], after)


def permuted(walk: Propagation, node: Node) -> Carried:
    """Dimensions in another order, or with new ones of size 1."""
    (source,) = walk.tensor_inputs(node)[:1]
    shape = walk.shape(source)
    strides = [math.prod([size + 1 for size in shape[axis + 1 :]]) for axis in range(len(shape))]  # all different
    moved = _run(node, {source: torch.empty_strided(shape, strides, device="meta")})[0]
    old = dict(zip(strides, walk.dims(source), strict=True))
    sizes = dict(zip(strides, shape, strict=True))
    return tuple(
        old[stride] if size > 1 and sizes.get(stride) == size else None
        for size, stride in zip(moved.shape, moved.stride(), strict=True)
    )


def pixel_shuffle(walk: Propagation, node: Node) -> Carried:
    """r x r channels become the pixels of one (pixel_shuffle), or the other way round (pixel_unshuffle)."""
    dims = walk.dims(walk.tensor_inputs(node)[0])
    for dim in dims[-2:]:
        walk.freeze(node, dim, "is interleaved with channels")
    before, after = walk.shape(walk.tensor_inputs(node)[0])[-3], walk.shape(node)[-3]
    channels = dims[-3]
    if channels is not None and after > before:
        channels = Channels(np.repeat(channels.labels, after // before), channels.zero)
    elif channels is not None and after == 1:
        walk.freeze(node, channels, "becomes a single channel")
        channels = None
    elif channels is not None:
        pixels = channels.labels.reshape(after, -1)
        walk.labels.tie(pixels, np.broadcast_to(pixels[:, :1], pixels.shape))
        channels = Channels(pixels[:, 0], channels.zero)
    return *dims[:-3], channels, None, None


def moving(walk: Propagation, node: Node) -> Carried:
    """Moves that follow the sizes: repetitions, shuffles, stacks, mirror images."""
    return _moved(walk, node, in_order=False)


def section(walk: Propagation, node: Node) -> Carried:
    """Moves by written-out positions (slice, pad, roll): what remains of a dimension must keep its order."""
    source = walk.tensor_inputs(node)[0]
    for axis, dim in enumerate(walk.dims(source)):
        if _cuts_off(node, len(walk.shape(source)), axis):
            walk.freeze(node, dim, "is cut off at a computed place")
    return _moved(walk, node, in_order=True)


def _cuts_off(node: Node, rank: int, axis: int) -> bool:
    """Whether a dimension loses positions in a way that a smaller one could not: by padding, or where sizes say."""
    if base_name(node) in ("slice", "narrow"):
        acted = whole_number(argument(node, 1, "dim", 0)) % rank
        return axis == acted and any(isinstance(place, Node) for place in node.args[2:4])
    sizes = argument(node, 1, "pad") if "pad" in base_name(node) else None
    if not isinstance(sizes, (list, tuple)):
        return False
    here = sizes[2 * (rank - 1 - axis) : 2 * (rank - axis)]
    return any(isinstance(size, int) and size < 0 for size in here)


def _shrinks(node: Node) -> bool:
    sizes = argument(node, 1, "pad") if base_name(node) == "constant_pad_nd" else ()
    return isinstance(sizes, (list, tuple)) and any(not isinstance(size, int) or size < 0 for size in sizes)


def picked(walk: Propagation, node: Node) -> Carried:
    """Elements at written-out numbers (select, index): the dimensions that are picked from must stay."""
    for source in walk.tensor_inputs(node)[1:]:
        walk.freeze_all(node, source, "is used as a number of a position")
    return _moved(walk, node, in_order=True, only_first=True)


def gathered(walk: Propagation, node: Node) -> Carried:
    """Elements at the numbers in another tensor, which fixes all sizes."""
    for source in walk.tensor_inputs(node):
        walk.freeze_all(node, source, "is picked from by number")
    return nothing(node)


def _moved(walk: Propagation, node: Node, *, in_order: bool, only_first: bool = False) -> Carried:
    values = node.meta["val"]
    several = isinstance(values, (list, tuple))
    shapes = [sizes_of(value) for value in values] if several else [walk.shape(node)]
    sources = walk.tensor_inputs(node)[: 1 if only_first else None]
    arrivals: list[list[Arrivals]] = [[[] for _ in sources] for _ in shapes]
    for number, source in enumerate(sources):
        for axis, dim in enumerate(walk.dims(source)):
            if dim is None:
                continue
            passed = _passed_by(node, len(walk.shape(source)), axis)
            try:
                outputs = [] if passed is not None else _on_coordinates(walk, node, source, axis)
            except (RuntimeError, NotImplementedError, TypeError, IndexError):
                return walk.refuse(node)
            for output in range(len(shapes)):
                try:
                    sides = [passed] if passed is not None else _sides_of(outputs[output], len(dim))
                except Scattered:
                    walk.freeze(node, dim, "is picked from or scattered")
                    continue
                if in_order and not all(_keeps_order(side) for side in sides):
                    gaps = not all(_is_one_piece(side) for side in sides)
                    walk.freeze(node, dim, "is left out in part, in steps" if gaps else "is put in another order")
                if sides:
                    arrivals[output][number].append((dim, sides))
    carried = [_landed(walk, node, arrival, shape) for arrival, shape in zip(arrivals, shapes, strict=True)]
    if not any(dim is not None for output in carried for dim in output):
        return nothing(node)
    if not _pads_with_zero(node):
        carried = [tuple(None if dim is None else Channels(dim.labels) for dim in dims) for dims in carried]
    return carried if several else carried[0]


def _pads_with_zero(node: Node) -> bool:
    """False for a padding with another number: what it adds is not zero in any channel."""
    if base_name(node) == "constant_pad_nd":
        return argument(node, 2, "value", 0) == 0
    constant = base_name(node) == "pad" and argument(node, 2, "mode", "constant") == "constant"
    return not constant or argument(node, 3, "value", None) in (None, 0)


def _is_one_piece(side: Side) -> bool:
    """Whether a contiguous part of the channels arrives."""
    arrived = np.flatnonzero(side.place >= 0)
    return bool(arrived[-1] - arrived[0] + 1 == len(arrived))


def _keeps_order(side: Side) -> bool:
    """Whether a contiguous part of the channels arrives, in its order and next to each other."""
    there = side.of_position[side.of_position >= 0]
    return _is_one_piece(side) and bool((np.diff(there) == 1).all())


def _sides_of_view(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> list[Side]:
    """The sides of dimension `axis` in a view: its digits, in the mixed-radix number that both shapes spell.

    Scattered if the shapes cut the number at places that do not nest.
    """
    below = math.prod(before[axis + 1 :])
    above = below * before[axis]
    sides = []
    for dim, size in enumerate(after):
        under = math.prod(after[dim + 1 :])
        low, high = max(below, under), min(above, under * size)
        if low >= high:
            continue
        if low % below or low % under or high % low or above % high or (under * size) % high:
            raise Scattered
        length = high // low
        place = np.arange(before[axis]) * below // low % length
        sides.append(Side(dim, place, np.arange(size) * under // low % length))
    return sides


def _passed_by(node: Node, rank: int, axis: int) -> Side | None:
    """The side of a dimension that an operator on one other dimension leaves as it is; None if it is not such a one."""
    at = _ACTS_ON.get(base_name(node))
    if at is None:
        return None
    acted = whole_number(argument(node, at, "dim", 0)) % rank
    if acted == axis:
        return None
    gone = base_name(node) in ("select", "unbind") and acted < axis
    size = (shape_of(node.all_input_nodes[0]) or ())[axis]
    return Side(axis - gone, np.arange(size), np.arange(size))


def _on_coordinates(walk: Propagation, node: Node, source: Node, axis: int) -> list[np.ndarray]:
    """The operator's outputs when `source` holds 1 + its coordinate along `axis`, and every other tensor zeros.

    Dimensions that the operator treats one by one are cut to size 1, so that activations of any size cost little.
    """
    shape = walk.shape(source)
    slim = base_name(node) in _ACTS_ON or (base_name(node) in _ONE_BY_ONE and not _shrinks(node))
    sizes = [size if d == axis or not slim else 1 for d, size in enumerate(shape)]
    # float32 is exact to 2^24 and known to every operator, which integers are not
    ramp = torch.arange(1.0, shape[axis] + 1)
    ramp = ramp.view([-1 if d == axis else 1 for d in range(len(shape))]).expand(sizes).contiguous()
    values = {source: ramp}
    if slim and base_name(node) == "stack":
        values = {other: torch.zeros(sizes) for other in walk.tensor_inputs(node)} | values
    return [output.numpy().astype(np.int64) for output in _run(node, values)]


def _run(node: Node, values: dict[Node, Tensor]) -> list[Tensor]:
    """The operator's outputs on these tensors; other tensors are zeros, whole-number ones in particular."""

    def stand_in(argument: Node) -> Any:
        if argument in values:
            return values[argument]
        shape = shape_of(argument)
        if shape is None:
            return _number(argument.meta.get("val"))
        kept = argument.meta["val"].dtype
        return torch.zeros(shape, dtype=None if kept.is_floating_point else kept)

    args, kwargs = map_arg((node.args, dict(node.kwargs)), stand_in)
    if base_name(node) in ("constant_pad_nd", "pad"):  # pad with zeros: the value would read as a coordinate
        args = args[:2] if base_name(node) == "constant_pad_nd" else args[:3]
        kwargs = {name: value for name, value in kwargs.items() if name != "value"}
    with torch.no_grad():
        outputs = node.target(*args, **kwargs)  # type: ignore[operator]
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


# Operators that act on one dimension, with the position of its number among the arguments.
_ACTS_ON: Final = {
    **dict.fromkeys(("slice", "narrow", "select", "unbind"), 1),
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split"), 2),
}
# Operators whose effect along a dimension does not depend on the sizes of the others.
_ONE_BY_ONE: Final = frozenset(("expand", "flip", "repeat", "tile", "roll", "constant_pad_nd", "stack", "index_select"))


def _number(value: object) -> object:
    return example_size(value) if isinstance(value, torch.SymInt) else value


def _sides_of(coordinates: np.ndarray, size: int) -> list[Side]:
    """The sides of a dimension of `size` channels, from where their coordinates (1 + number, 0: none) have landed."""
    if not coordinates.any():
        return []
    straight = _straight(coordinates, size)
    if straight is not None:
        return [straight]
    sides = []
    for dim, length in enumerate(coordinates.shape):
        pairs = _pairs(coordinates, dim, size)
        first = np.full(size + 1, length)
        np.minimum.at(first, pairs[1], pairs[0])
        first[0] = length  # coordinate 0 is no channel
        low = np.full(length, length)
        high = np.full(length, -1)
        np.minimum.at(low, pairs[0], first[pairs[1]])
        np.maximum.at(high, pairs[0], np.where(pairs[1] > 0, first[pairs[1]], -1))
        there = high >= 0
        # Two positions hold the same channels, or none in common; and as many as the place has.
        members = np.bincount(first[1:][first[1:] < length], minlength=length)
        held = np.bincount(pairs[0][pairs[1] > 0], minlength=length)
        if not (low[there] == high[there]).all() or not (held[there] == members[high[there]]).all():
            continue
        numbers = np.unique(high[there])
        if len(numbers) < 2:
            continue
        of_position = np.where(there, np.searchsorted(numbers, np.where(there, high, numbers[0])), -1)
        place = np.where(first[1:] < length, np.searchsorted(numbers, np.minimum(first[1:], numbers[-1])), -1)
        sides.append(Side(dim, place, of_position))
    if not sides:
        raise Scattered
    return sides


def _straight(coordinates: np.ndarray, size: int) -> Side | None:
    """The one side of a dimension whose channels each fill whole positions of one output dimension."""
    for dim, length in enumerate(coordinates.shape):
        rows = np.moveaxis(coordinates, dim, 0).reshape(length, -1)
        top = rows.max(axis=1, initial=0)
        if len(np.unique(top[top > 0])) > 1 and bool(((rows == top[:, None]) | (rows == 0)).all()):
            place = np.full(size, -1)
            numbers = np.unique(top[top > 0])
            place[numbers - 1] = np.arange(len(numbers))
            return Side(dim, place, np.where(top > 0, np.searchsorted(numbers, top), -1))
    return None


def _pairs(coordinates: np.ndarray, dim: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every (position along `dim`, coordinate found there), once each."""
    rows = np.moveaxis(coordinates, dim, 0).reshape(coordinates.shape[dim], -1)
    seen = np.zeros((len(rows), size + 1), dtype=bool)
    seen[np.arange(len(rows))[:, None], rows] = True
    positions, found = np.nonzero(seen)
    return positions, found


def _landed(
    walk: Propagation,
    node: Node,
    arrivals: Sequence[Arrivals],
    shape: tuple[int, ...],
) -> Dims:
    """What an output carries, from what arrives of each dimension of each source."""
    out: list[Channels | None] = [None] * len(shape)
    for of_source in arrivals:
        landed: list[list[Channels]] = [[] for _ in shape]
        for dim, sides in of_source:
            for side, labels in zip(sides, _side_labels(walk, node, dim, sides), strict=True):
                there = side.of_position >= 0
                landed[side.dim].append(Channels(np.where(there, labels[side.of_position], -1), dim.zero))
        for position, parts in enumerate(landed):
            here = _merged(walk, node, parts)
            if here is None:
                continue
            before = out[position]
            if before is None:
                out[position] = here
            else:
                both = (before.labels >= 0) & (here.labels >= 0)
                walk.labels.tie(before.labels[both], here.labels[both])
                labels = np.where(before.labels >= 0, before.labels, here.labels)
                out[position] = Channels(labels, before.zero and here.zero)
    return tuple(_settled(walk, node, dim) for dim in out)


def _side_labels(walk: Propagation, node: Node, dim: Channels, sides: list[Side]) -> list[np.ndarray]:
    """The labels of each side's places; several sides make a grid of the dimension's channels."""
    arrived = np.flatnonzero(sides[0].place >= 0)
    if len(sides) > 1:
        axes = [walk.labels.fresh(int(side.of_position.max()) + 1) for side in sides]
        walk.grid(node, dim.labels[arrived], axes, [side.place[arrived] for side in sides])
        return axes
    place = sides[0].place[arrived]
    labels = np.empty(int(place.max()) + 1, np.int64)
    labels[place[::-1]] = dim.labels[arrived[::-1]]  # the first channel of each place stands for it
    walk.labels.tie(dim.labels[arrived], labels[place])
    return [labels]


def _merged(walk: Propagation, node: Node, parts: list[Channels]) -> Channels | None:
    """Dimensions of one tensor that have become one: their channels stand in a grid."""
    if len(parts) < 2:
        return parts[0] if parts else None
    if any((part.labels < 0).any() for part in parts):
        for part in parts:
            walk.freeze(node, part.at(part.labels >= 0), "is merged with another dimension")
        return None
    flat = walk.labels.fresh(len(parts[0]))
    axes = [np.unique(part.labels, return_inverse=True) for part in parts]
    walk.grid(node, flat, [labels for labels, _ in axes], [places for _, places in axes])
    return Channels(flat, all(part.zero for part in parts))


def _settled(walk: Propagation, node: Node, dim: Channels | None) -> Dim:
    """What an output dimension carries; places where nothing landed are new channels that must stay."""
    if dim is None or len(dim) == 1:
        return None
    empty = dim.labels < 0
    if empty.all():
        return None
    if empty.any():
        dim.labels[empty] = _fixed(walk, node, int(empty.sum()))
    return dim


def _fixed(walk: Propagation, node: Node, count: int) -> np.ndarray:
    labels = walk.labels.fresh(count)
    walk.freeze(node, Channels(labels), "is joined with channels that are fixed")
    return labels
