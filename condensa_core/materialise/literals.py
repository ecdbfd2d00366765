"""Sizes that are written out in a captured program, and what they become when channels are removed.

A rule gets the operator as it was captured (`original`, whose value carries the channels) and its copy in the program
to be cut (`node`), and sets the copy's arguments. Operators that take their sizes from their inputs need no rule.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch.fx import Node

from condensa_core.graph.capture import shape_of
from condensa_core.graph.channels import Anatomy, Family, Keep
from condensa_core.graph.contractions import surviving_groups
from condensa_core.graph.propagation import argument, whole_number


class Survivors:
    """Which positions of every value survive a cut."""

    def __init__(self, anatomy: Anatomy, keep: Keep, families: Sequence[Family]) -> None:
        self._survives = np.ones(anatomy.labels, dtype=bool)
        for family in families:
            if family.name in keep:
                self._survives[family.roots] = keep[family.name]
        self._anatomy = anatomy

    def mask(self, node: Node, dim: int, part: int | None = None) -> np.ndarray | None:
        """The surviving positions along a dimension of a node's value (of its value `part`); None: all."""
        carried = self._anatomy.carried[node]
        classes = (carried if part is None else carried[part])[dim]
        if classes is None:
            return None
        kept = self._survives[classes]
        return None if kept.all() else kept

    def count(self, node: Node, dim: int, part: int | None = None) -> int:
        """How many positions survive."""
        mask = self.mask(node, dim, part)
        if mask is not None:
            return int(mask.sum())
        value = node.meta["val"] if part is None else node.meta["val"][part]
        return int(value.shape[dim])

    def parts(self, node: Node) -> list[int | None]:
        """The numbers of a node's values; [None] if it has one."""
        carried = self._anatomy.carried[node]
        return list(range(len(carried))) if isinstance(carried, list) else [None]

    def changes(self, node: Node, part: int | None = None) -> dict[int, tuple[int, int]]:
        """The dimensions of a node's value (of its value `part`) that shrink: position -> (before, after)."""
        carried = self._anatomy.carried[node]
        dims = carried if part is None else carried[part]
        masks = {dim: self.mask(node, dim, part) for dim in range(len(dims))}
        return {dim: (len(mask), int(mask.sum())) for dim, mask in masks.items() if mask is not None}


def _resized(node: Node, sizes: Sequence[Any], changes: dict[int, tuple[int, int]]) -> list[Any]:
    """Written-out sizes after the changes; -1 stays, and a size that is computed is scaled in the graph."""
    resized = list(sizes)
    for dim, (before, after) in changes.items():
        size = resized[dim]
        if isinstance(size, Node):
            with node.graph.inserting_before(node):
                scaled = node.graph.call_function(operator.mul, (size, after))
                resized[dim] = node.graph.call_function(operator.floordiv, (scaled, before))
        elif size != -1:
            resized[dim] = after
    return resized


def _sizes_at(position: int, name: str) -> Callable[[Survivors, Node, Node], None]:
    def rewrite(survivors: Survivors, original: Node, node: Node) -> None:
        changes = survivors.changes(original)
        sizes = argument(node, position, name)
        if changes and isinstance(sizes, (list, tuple)):
            _set(node, position, name, _resized(node, sizes, changes))

    return rewrite


def _unflattened(survivors: Survivors, original: Node, node: Node) -> None:
    first = whole_number(original.args[1]) % len(shape_of(original.all_input_nodes[0]) or ())
    sizes = list(node.args[2])  # type: ignore[arg-type]
    changes = {d - first: c for d, c in survivors.changes(original).items() if first <= d < first + len(sizes)}
    node.update_arg(2, _resized(node, sizes, changes))


def _sliced(survivors: Survivors, original: Node, node: Node) -> None:
    source = original.all_input_nodes[0]
    shape = shape_of(source) or ()
    dim = whole_number(argument(original, 1, "dim", 0)) % len(shape)
    mask = survivors.mask(source, dim)
    if mask is None:
        return
    start, end, step = (argument(original, at, name) for at, name in ((2, "start"), (3, "end"), (4, "step")))
    first, last, _ = slice(start, end, step).indices(shape[dim])
    _set(node, 1, "dim", dim)
    _set(node, 2, "start", int(mask[:first].sum()))
    _set(node, 3, "end", int(mask[:last].sum()))


def _narrowed(survivors: Survivors, original: Node, node: Node) -> None:
    source = original.all_input_nodes[0]
    dim = whole_number(original.args[1]) % len(shape_of(source) or ())
    mask = survivors.mask(source, dim)
    if mask is not None:
        start, length = whole_number(original.args[2]) % len(mask), whole_number(original.args[3])
        node.update_arg(2, int(mask[:start].sum()))
        node.update_arg(3, int(mask[start : start + length].sum()))


def _split(survivors: Survivors, original: Node, node: Node) -> None:
    source = original.all_input_nodes[0]
    dim = whole_number(argument(original, 2, "dim", 0)) % len(shape_of(source) or ())
    if survivors.mask(source, dim) is None:
        return
    sizes = [survivors.count(original, dim, part) for part in range(len(original.meta["val"]))]
    node.target = torch.ops.aten.split_with_sizes.default
    node.args, node.kwargs = (node.args[0], sizes, dim), {}


def _normalised(survivors: Survivors, original: Node, node: Node) -> None:
    changes = survivors.changes(original)
    rank = len(shape_of(original) or ())
    if rank - 1 in changes:
        _set(node, 1, "normalized_shape", [changes[rank - 1][1]])


def _grouped_norm(survivors: Survivors, original: Node, node: Node) -> None:
    mask = survivors.mask(original, 1)
    if mask is not None:
        groups = whole_number(argument(original, 1, "num_groups"))
        _set(node, 1, "num_groups", surviving_groups(np.flatnonzero(mask), len(mask), groups))


def _convolved(survivors: Survivors, original: Node, node: Node) -> None:
    groups = whole_number(argument(original, 6, "groups", 1))
    weight = original.args[1]
    assert isinstance(weight, Node)
    mask = survivors.mask(weight, 0)
    if groups > 1 and mask is not None:
        _set(node, 6, "groups", surviving_groups(np.flatnonzero(mask), len(mask), groups))


def _attended(survivors: Survivors, original: Node, node: Node) -> None:
    """The default scale follows the width of a head: it stays what it was."""
    query = original.args[0]
    assert isinstance(query, Node)
    width = (shape_of(query) or ())[-1]
    if survivors.mask(query, len(shape_of(query) or ()) - 1) is not None and node.kwargs.get("scale") is None:
        node.update_kwarg("scale", width**-0.5)


def _set(node: Node, position: int, name: str, value: Any) -> None:
    if len(node.args) > position:
        node.update_arg(position, value)
    else:
        node.update_kwarg(name, value)


Rewrite = Callable[[Survivors, Node, Node], None]


def _each(names: str, rewrite: Rewrite) -> dict[str, Rewrite]:
    return dict.fromkeys(names.split(), rewrite)


LITERALS: Final[dict[str, Rewrite]] = {
    **_each("_reshape_alias _unsafe_view expand new_empty new_full new_ones new_zeros view", _sizes_at(1, "size")),
    **_each("empty full ones zeros", _sizes_at(0, "size")),
    **_each("chunk split split_with_sizes tensor_split", _split),
    **_each("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d", _convolved),
    "reshape": _sizes_at(1, "shape"),
    "unflatten": _unflattened,
    "slice": _sliced,
    "narrow": _narrowed,
    "layer_norm": _normalised,
    "rms_norm": _normalised,
    "group_norm": _grouped_norm,
    "scaled_dot_product_attention": _attended,
}
