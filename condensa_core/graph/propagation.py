"""The walk that carries channel identities through a captured graph, one operator at a time."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from typing import Final

import torch
from torch.fx import Node
from torch.utils._pytree import tree_leaves

from condensa_core.graph.capture import Capture, module_of, operator_name, shape_of
from condensa_core.graph.channels import Side
from condensa_core.graph.labels import Dim, Dims, Labels, Stop

# What a node's value carries: one tensor, or several (chunk, split, topk).
Carried = Dims | list[Dims]
Rule = Callable[["Propagation", Node], Carried]


class Propagation:
    """The state of one walk; rules read and tie channels through it.

    A rule returns what its node's value carries. Whatever a rule neither ties nor freezes is free to be removed on its
    own, so a rule must tie or freeze every input dimension that it does not drop as independent.
    """

    def __init__(self, captured: Capture, rules: Callable[[Node], Rule | None]) -> None:
        self.captured = captured
        self.labels = Labels()
        self.parameters: dict[str, Dims] = {}
        self.sides: dict[int, Side] = {}
        self.operators: Counter[str] = Counter()
        self.unknown_operators: dict[str, str] = {}
        self._carried: dict[Node, Carried] = {}
        self._rules = rules
        self._walk()

    def dims(self, node: Node) -> Dims:
        """What a tensor node carries, one entry per dimension."""
        carried = self._carried[node]
        assert isinstance(carried, tuple), node
        return carried

    def shape(self, node: Node) -> tuple[int, ...]:
        """The shape of a tensor node."""
        shape = shape_of(node)
        assert shape is not None, node
        return shape

    def tensor_inputs(self, node: Node) -> list[Node]:
        """The tensors among the node's arguments, in order, each once."""
        return [source for source in node.all_input_nodes if shape_of(source) is not None]

    def tie(self, node: Node, a: Dim, b: Dim) -> Dim:
        """The common identity of two dimensions that meet in `node`; a side without identity freezes the other."""
        if a is not None and b is not None:
            self.labels.tie(a, b)
            return a
        self.freeze(node, a if b is None else b, "meets a dimension of fixed size")
        return None

    def freeze(self, node: Node, dim: Dim, reason: str) -> None:
        """The channels along `dim` must stay, because of what `node` does."""
        if dim is not None:
            name = operator_name(node) if node.op == "call_function" else None
            self.labels.freeze(dim, Stop(reason, name, module_of(node)))

    def freeze_all(self, node: Node, source: Node, reason: str) -> None:
        """Every channel that `source` carries must stay, because of what `node` does."""
        carried = self._carried[source]
        for dims in carried if isinstance(carried, list) else [carried]:
            for dim in dims:
                self.freeze(node, dim, reason)

    def mark(self, dim: Dim, side: Side) -> None:
        """Says on which side of the channel these parameter slices stand; the first word counts."""
        if dim is not None:
            for label in dim.tolist():
                self.sides.setdefault(label, side)

    def is_weight(self, node: Node) -> bool:
        """Whether the node's value is a parameter or buffer, at most moved or cast: zero slices stay zero in it."""
        while node not in self.captured.tensors:
            if node.op != "call_function" or base_name(node) not in _ZERO_KEEPING or not node.all_input_nodes:
                return False
            node = node.all_input_nodes[0]
        return True

    def unknown(self, node: Node) -> Carried:
        """The rule of an operator without rule: all channels through it stay."""
        for source in node.all_input_nodes:
            if source in self._carried:
                self.freeze_all(node, source, "passes through an operator that is not known here")
        self.unknown_operators.setdefault(operator_name(node), module_of(node))
        return nothing(node)

    def _walk(self) -> None:
        for node in self.captured.graph.nodes:
            if node.op == "placeholder":
                self._carried[node] = self._placeholder(node)
            elif node.op == "output":
                for source in node.all_input_nodes:
                    self.freeze_all(node, source, "is part of the model's output")
            else:
                self._carried[node] = self._step(node)

    def _placeholder(self, node: Node) -> Carried:
        name = self.captured.tensors.get(node)
        if name is None or not node.users:
            return nothing(node)
        if name not in self.parameters:
            self.parameters[name] = tuple(
                self.labels.fresh(size) if size > 1 else None for size in self.captured.shapes[name]
            )
        return self.parameters[name]

    def _step(self, node: Node) -> Carried:
        if node.target is operator.getitem:
            source, index = node.args
            carried = self._carried[source]  # type: ignore[index]
            return carried[index] if isinstance(carried, list) and carried else nothing(node)  # type: ignore
        if node.op != "call_function":
            return nothing(node)  # the body of a higher-order operator, which the operator itself answers for
        self.operators[operator_name(node)] += 1
        rule = self._rules(node)
        if rule is not None:
            return rule(self, node)
        return nothing(node) if self._reads_no_channel(node) else self.unknown(node)

    def _reads_no_channel(self, node: Node) -> bool:
        """Whether an ATen call only creates a constant, computes with sizes, or asserts something about them."""
        if not isinstance(node.target, torch._ops.OpOverload):
            return not node.all_input_nodes
        yields_tensor = any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(node.meta.get("val")))
        return not self.tensor_inputs(node) or not (yields_tensor or node.target._schema.is_mutable)


def nothing(node: Node) -> Carried:
    """No identity along any dimension of the node's value."""
    value = node.meta.get("val")
    if isinstance(value, (list, tuple)):
        return [(None,) * getattr(item, "ndim", 0) for item in value]
    return (None,) * getattr(value, "ndim", 0)


def argument(node: Node, position: int, name: str, default: object = None) -> object:
    """An argument of a call, by position or by name."""
    if len(node.args) > position:
        return node.args[position]
    return node.kwargs.get(name, default)


def base_name(node: Node) -> str:
    """The operator's name without namespace and overload, such as `conv2d`; empty for anything else."""
    packet = getattr(node.target, "overloadpacket", None)
    return getattr(packet, "__name__", "")


# Operators after which zero slices of a parameter are zero slices still.
_ZERO_KEEPING: Final = frozenset(
    {"_to_copy", "_unsafe_view", "alias", "clone", "contiguous", "detach", "expand", "flatten", "permute", "reshape"}
    | {"select", "slice", "squeeze", "t", "to", "transpose", "unflatten", "unsqueeze", "view"}
)
