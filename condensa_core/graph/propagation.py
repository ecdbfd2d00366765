"""The walk that carries channel identities through a captured graph, one operator at a time."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.fx import Graph, Node
from torch.utils._pytree import tree_leaves

from condensa_core.graph.capture import Capture, line_of, module_of, operator_name, shape_of
from condensa_core.graph.channels import Side, Unit
from condensa_core.graph.labels import Channels, Dim, Dims, Grid, Labels, Stop

# What a node's value carries: one tensor, or several (chunk, split, topk).
Carried = Dims | list[Dims]
Rule = Callable[["Propagation", Node], Carried]


@dataclass(frozen=True, eq=False)
class Statistic:
    """A mean or norm over channels: it is taken over the survivors once some are removed, where the masked model
    counts the removed ones as zeros. `dim` is the position of the channels in the node's first input."""

    node: Node
    dim: int
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Unknown:
    """A call of an operator without rule, and the channels that stay because of it."""

    operator: str
    module: str
    labels: np.ndarray


class Propagation:
    """The state of one walk; rules read and tie channels through it.

    A rule returns what its node's value carries. Whatever a rule neither ties nor freezes is free to be removed on its
    own, so a rule must tie or freeze every input dimension that it does not drop as independent.
    With `strict`, channels that a norm averages over stay, so that every cut is exact.
    """

    def __init__(self, captured: Capture, rules: Callable[[Node], Rule | None], *, strict: bool = False) -> None:
        self.captured = captured
        self.strict = strict
        self.labels = Labels()
        self.parameters: dict[str, Dims] = {}  # parameters and buffers by first name
        self.constants: dict[str, Dims] = {}  # tensors that the forward holds without owning them, by node name
        self.operators: Counter[str] = Counter()
        self.unknown: list[Unknown] = []
        self.statistics: list[Statistic] = []
        self.marks: list[tuple[np.ndarray, Side]] = []
        self.units: list[tuple[np.ndarray, Unit]] = []
        self.carried: dict[Node, Carried] = {}
        self._rules = rules
        self._is_needed = True
        self._storage: dict[Node, list[Node]] = {}  # a node -> all nodes that share its memory
        self._varying: set[Node] = set()  # nodes that depend on the model's input
        self._given: set[Node] = set()  # those that depend on nothing else
        self._walk()

    def dims(self, node: Node) -> Dims:
        """What a tensor node carries, one entry per dimension."""
        carried = self.carried[node]
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

    def tie(self, node: Node, a: Dim, b: Dim, *, zero: bool | None = None) -> Dim:
        """The common identity of two dimensions that meet in `node`; a side without identity freezes the other.

        Removed channels read as zero if they do on both sides, or as `zero` says.
        """
        if a is not None and b is not None:
            self.labels.tie(a.labels, b.labels)
            return Channels(a.labels, a.zero and b.zero if zero is None else zero)
        met = "the model's input" if any(source in self._given for source in node.all_input_nodes) else None
        self.freeze(node, a if b is None else b, f"is combined with {met or 'a dimension of fixed size'}")
        return None

    def grid(self, node: Node, flat: np.ndarray, axes: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> None:
        """Channels that can go along one side of a grid only (see `labels.Grid`)."""
        stop = self._stop(node, "is one side of a grid of channels that go along another side")
        self.labels.stand_in_grid(Grid(flat, tuple(axes), tuple(places), stop))

    def freeze(self, node: Node, dim: Dim, reason: str) -> None:
        """The channels along `dim` must stay, because of what `node` does."""
        # What nobody reads (x[:, -1] for its shape alone) still has to run, but need not come out right.
        if dim is not None and self._is_needed:
            self.labels.freeze(dim.labels, self._stop(node, reason))

    def freeze_all(self, node: Node, source: Node, reason: str) -> None:
        """Every channel that `source` carries must stay, because of what `node` does."""
        carried = self.carried[source]
        for dims in _each_value(carried):
            for dim in dims:
                self.freeze(node, dim, reason)

    def average(self, node: Node, position: int, dim: Dim) -> None:
        """`node` takes a statistic over the channels along `dim`, which is dimension `position` of its first input."""
        if dim is None:
            return
        if self.strict:
            self.freeze(node, dim, "is averaged over")
        else:
            self.statistics.append(Statistic(node, position, dim.labels))

    def mark(self, dim: Dim, side: Side) -> None:
        """Says on which side of the channel these parameter slices stand; the first word counts."""
        if dim is not None:
            self.marks.append((dim.labels, side))

    def call(self, dim: Dim, unit: Unit) -> None:
        """Says what users call a channel of this dimension; the first word counts."""
        if dim is not None:
            self.units.append((dim.labels, unit))

    def is_weight(self, node: Node) -> bool:
        """Whether the node's value is made of parameters, buffers and constants only: the same for every input."""
        return node not in self._varying

    def refuse(self, node: Node) -> Carried:
        """The rule of an operator without rule: all channels through it stay."""
        labels = [np.empty(0, np.int64)]
        for source in node.all_input_nodes:
            carried = self.carried.get(source, ())
            for dims in _each_value(carried):
                labels += [dim.labels for dim in dims if dim is not None]
        stuck = np.concatenate(labels)
        self.freeze(node, Channels(stuck), "passes through an operator that is not known here")
        self.unknown.append(Unknown(operator_name(node), module_of(node), stuck))
        return nothing(node)

    def _stop(self, node: Node, reason: str) -> Stop:
        name = operator_name(node) if node.op == "call_function" else None
        return Stop(reason, name, module_of(node), line_of(node))

    def _walk(self) -> None:
        needed = _needed(self.captured.graph)
        for node in self.captured.graph.nodes:
            self._is_needed = node in needed
            if self._varies(node):
                self._varying.add(node)
                sources = self.tensor_inputs(node)
                if node.op == "placeholder" or (sources and all(source in self._given for source in sources)):
                    self._given.add(node)
            if node.op == "placeholder":
                self.carried[node] = self._placeholder(node)
            elif node.op == "output":
                for source in node.all_input_nodes:
                    self.freeze_all(node, source, "is part of the model's output")
            else:
                self.carried[node] = self._step(node)
                self._follow_storage(node)

    def _follow_storage(self, node: Node) -> None:
        """Views share their storage; what is written to it in place may no longer be zero in any of them."""
        schema = getattr(node.target, "_schema", None)
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        shares = (
            node.target is operator.getitem
            or "dropout" in base_name(node)
            or (  # which gives its input in eval
                schema is not None and any(value.alias_info is not None for value in schema.returns)
            )
        )
        storage = self._storage.setdefault(source, [source]) if shares and source is not None else []
        storage.append(node)
        self._storage[node] = storage
        if schema is not None and schema.is_mutable and source is not None:
            written = self._storage.setdefault(source, [source])
            if not self._is_zero(self.carried[node]):
                for view in written:
                    self.carried[view] = _not_zero(self.carried[view])

    def _is_zero(self, carried: Carried) -> bool:
        return all(dim is None or dim.zero for dims in _each_value(carried) for dim in dims)

    def _varies(self, node: Node) -> bool:
        if node.op == "placeholder":
            return node not in self.captured.tensors and node not in self.captured.constants
        return any(source in self._varying for source in node.all_input_nodes)

    def _placeholder(self, node: Node) -> Carried:
        if not node.users:
            return nothing(node)
        name = self.captured.tensors.get(node)
        if name is not None:
            if name not in self.parameters:
                self.parameters[name] = self._fresh(self.captured.shapes[name], zero=True)
            return self.parameters[name]
        if node in self.captured.constants:
            self.constants[node.name] = self._fresh(self.shape(node), zero=False)
            return self.constants[node.name]
        return nothing(node)

    def _fresh(self, shape: tuple[int, ...], *, zero: bool) -> Dims:
        return tuple(Channels(self.labels.fresh(size), zero) if size > 1 else None for size in shape)

    def created(self, node: Node, *, zero: bool) -> Carried:
        """The rule of constants of one value: any position along any dimension may go."""
        return self._fresh(self.shape(node), zero=zero)

    def _step(self, node: Node) -> Carried:
        if node.target is operator.getitem:
            source, index = node.args
            carried = self.carried[source]  # type: ignore[index]
            return carried[index] if isinstance(carried, list) and carried else nothing(node)  # type: ignore
        if node.op != "call_function":
            return nothing(node)  # the body of a higher-order operator, which the operator itself answers for
        self.operators[operator_name(node)] += 1
        if _is_data_dependent(node):
            return self.refuse(node)
        rule = self._rules(node)
        if rule is not None:
            return rule(self, node)
        return nothing(node) if self._reads_no_channel(node) else self.refuse(node)

    def _reads_no_channel(self, node: Node) -> bool:
        """Whether an ATen call only creates a constant, computes with sizes, or asserts something about them."""
        if not isinstance(node.target, torch._ops.OpOverload):
            return not any(self._carries(source) for source in node.all_input_nodes)
        yields_tensor = any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(node.meta.get("val")))
        return not self.tensor_inputs(node) or not (yields_tensor or node.target._schema.is_mutable)

    def _carries(self, source: Node) -> bool:
        carried = self.carried.get(source, ())
        return any(dim is not None for dims in _each_value(carried) for dim in dims)


def _each_value(carried: Carried) -> list[Dims]:
    return carried if isinstance(carried, list) else [carried]


def _not_zero(carried: Carried) -> Carried:
    values = [tuple(None if dim is None else Channels(dim.labels) for dim in dims) for dims in _each_value(carried)]
    return values if isinstance(carried, list) else values[0]


def _is_data_dependent(node: Node) -> bool:
    """Whether a size of the node's value depends on the numbers in its inputs (x[mask])."""
    values = [leaf for leaf in tree_leaves(node.meta.get("val")) if isinstance(leaf, torch.Tensor)]
    return any(isinstance(size, torch.SymInt) and size.node.hint is None for value in values for size in value.shape)


def _needed(graph: Graph) -> set[Node]:
    """Nodes that the output or a side effect depends on."""
    needed: set[Node] = set()
    for node in reversed(graph.nodes):
        acts = node.op in ("output", "placeholder") or node.is_impure(impure_random=False)
        if acts or any(user in needed for user in node.users):
            needed.add(node)
    return needed


def read_tensors(captured: Capture) -> set[str]:
    """The parameters and buffers that the output or a side effect depends on, by first name."""
    needed = _needed(captured.graph)
    return {name for node, name in captured.tensors.items() if any(user in needed for user in node.users)}


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


def whole_number(value: object) -> int:
    """An argument that can only be a whole number."""
    assert isinstance(value, int), value
    return value


def base_name(node: Node) -> str:
    """The name of an ATen operator without overload, such as `conv2d`; empty for anything else."""
    if getattr(node.target, "namespace", "") != "aten":
        return ""
    return str(node.target.overloadpacket.__name__)  # type: ignore[union-attr]
