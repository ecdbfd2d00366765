"""What a model costs as a function of how many units each family keeps: exact at whole numbers, smooth between them.

The size of a dimension is a linear form of the kept counts: what stays, and for every family that stands there its
positions per unit times its kept units. A cost is a sum of products of such sizes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from numbers import Real
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from condensa_core.errors import SchemeError
from condensa_core.graph.capture import example_size, shape_of, sizes_of
from condensa_core.graph.channels import Anatomy, Family, ModelGraph, Route
from condensa_core.graph.example import samples_of
from condensa_core.graph.operators import rule_for
from condensa_core.graph.propagation import argument, base_name, read_tensors

# How many units each family keeps, fractions allowed; families left out are whole.
KeptCounts = Mapping[str, "float | Tensor"]


@dataclass(frozen=True)
class UnitCosts:
    """What goes when one unit of a family goes and all others stay."""

    macs: float
    parameters: float
    activation_bytes: float


@dataclass(frozen=True, eq=False)
class Costs:
    """MACs, parameters and activation bytes of a model whose families keep that many units.

    Every figure is a tensor without dimensions, float64, on the device of the given counts, and a polynomial in them:
    gradients reach counts that are tensors. At whole numbers it is what the cut model really has. SchemeError for a
    family that does not exist, and for a number outside 0..size; values of tensors are not looked at.

    `sizes` has every family's units. The units of `uneven` families are alike in parameters but not in all values in
    between (some are sliced off and used apart): there, the size of such a value is its mean over the choices of units.
    """

    sizes: Mapping[str, int]
    uneven: frozenset[str]
    _tables: _Tables
    _batch: int
    _elsewhere: dict[torch.device, _Tables] = field(default_factory=dict, repr=False)

    def macs(self, kept: KeptCounts) -> Tensor:
        """Multiply-accumulates of convolutions and matrix products, for one sample.

        Counted as torch's FlopCounterMode counts them where no fused kernel hides them from it: attention is its two
        products (a causal one in full), a recurrent layer the products of all its time steps. Products with a vector
        and sums of elementwise products are not counted, nor is anything else. Operators that the graph room does not
        know count what torch counts for them, which does not change: their channels stay.
        """
        tables, counts = self._at(kept)
        return tables.value("macs", counts) / self._batch

    def parameters(self, kept: KeptCounts) -> Tensor:
        """Elements of the delivered model's parameters: tied ones once, buffers never.

        Those that the forward never uses count for the route "module", which hands them on, but not for "program".
        """
        tables, counts = self._at(kept)
        return tables.value("parameters", counts)

    def activation_bytes(self, kept: KeptCounts) -> Tensor:
        """Bytes of all values that operators write in one forward of one sample, at 4 bytes an element.

        Counted is every floating-point tensor that depends on the model's input and that an operator of the captured
        program returns in memory of its own. Not counted: the input itself, what is computed from weights alone, and
        what shares memory with an operand: views, in-place operators, dropout in evaluation mode. Whether a reshape
        copies is taken from the whole model. Temporaries inside operators are left out.
        """
        tables, counts = self._at(kept)
        return 4 * tables.value("activations", counts) / self._batch

    def per_unit(self, name: str) -> UnitCosts:
        """What one unit of this family costs in the whole model."""
        one_less = {name: self.sizes[name] - 1 if name in self.sizes else 0}
        macs, parameters, activation_bytes = (
            float(cost({}) - cost(one_less)) for cost in (self.macs, self.parameters, self.activation_bytes)
        )
        return UnitCosts(macs, parameters, activation_bytes)

    def _require_count(self, name: object, given: Any) -> None:
        if name not in self.sizes:
            hint = f"write {name.name!r}, its name" if isinstance(name, Family) else None
            raise SchemeError(f"kept counts name {name!r}, but the model has no such family of channels", hint=hint)
        size = self.sizes[str(name)]
        if isinstance(given, Tensor):
            fits = given.numel() == 1 and given.dtype != torch.bool
        else:
            fits = isinstance(given, Real) and not isinstance(given, bool)
        if not fits:
            what = f"of shape {tuple(given.shape)}" if hasattr(given, "shape") else repr(given)
            raise SchemeError(
                f"kept count of {name!r} must be a number in 0..{size}, got a {type(given).__name__} {what}",
                hint="the count of a boolean vector is int(vector.sum())",
            )
        if not isinstance(given, Tensor) and not 0 <= given <= size:
            raise SchemeError(f"kept count of {name!r} must lie in 0..{size}, got {given}")

    def _at(self, kept: KeptCounts) -> tuple[_Tables, Tensor]:
        """The coefficients and all families' counts, on the device of the given ones."""
        for name, given in kept.items():
            self._require_count(name, given)
        device = next((given.device for given in kept.values() if isinstance(given, Tensor)), torch.device("cpu"))
        if device not in self._elsewhere:
            self._elsewhere[device] = self._tables.to(device)
        order = {name: position for position, name in enumerate(self.sizes)}
        numbers = [float(size) for size in self.sizes.values()]
        for name, given in kept.items():
            if not isinstance(given, Tensor):
                numbers[order[name]] = float(given)
        counts = torch.tensor(numbers, dtype=torch.float64, device=device)
        tensors = {order[name]: given for name, given in kept.items() if isinstance(given, Tensor)}
        if tensors:
            places = torch.tensor(list(tensors), device=device)
            counts = counts.index_copy(0, places, torch.stack([t.double().reshape(()) for t in tensors.values()]))
        return self._elsewhere[device], counts


def costs_of(graph: ModelGraph, route: Route = "module") -> Costs:
    """The costs of a model that `analyse` captured, as functions of the kept counts of its families.

    `route` is the one that smaller models are delivered by: modules keep the parameters that their forward never uses,
    a program has none of them.
    """
    anatomy = graph.anatomy
    assert anatomy is not None, "only graphs made by `analyse` have a program"
    sizes = _Sizes(anatomy, graph.families)
    macs, parameters, activations = _Sum(), _Sum(), _Sum()
    written = _Written(anatomy)
    for node in anatomy.capture.graph.nodes:
        if node.op != "call_function":
            continue
        for product, times in _multiplied(sizes, anatomy, node):
            macs.add(product, times)
        for part in written.by(node):
            activations.add(sizes.of(node, part))
    for dims in _parameter_sizes(graph, anatomy, read_only=route == "program"):
        parameters.add(dims)
    sums = {"macs": macs, "parameters": parameters, "activations": activations}
    return Costs(
        sizes={family.name: family.size for family in graph.families},
        uneven=frozenset(graph.families[f].name for f in sizes.uneven),
        _tables=_tables(sums, len(graph.families)),
        _batch=_batch_of(anatomy),
    )


@dataclass(frozen=True)
class _Size:
    """The size of a dimension: `fixed` + the sum over (f, k) in `slopes` of k * kept units of family f."""

    fixed: int
    slopes: tuple[tuple[int, float], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether no family changes it."""
        return not self.slopes


_Product = Sequence[_Size]


class _Sizes:
    """The sizes of every value of the captured program; fills in `uneven`, the families whose units differ there."""

    def __init__(self, anatomy: Anatomy, families: Sequence[Family]) -> None:
        self.uneven: set[int] = set()
        self._carried = anatomy.carried
        self._units = np.array([family.size for family in families], np.int64)
        self._family_of = np.repeat(np.arange(len(families)), self._units)
        roots = np.concatenate([np.empty(0, np.int64), *(family.roots for family in families)])
        self._unit_of = np.full(int(roots.max(initial=-1)) + 2, -1)  # the last entry is that of all later classes
        self._unit_of[roots] = np.arange(len(roots))

    def of(self, node: object, part: int | None = None) -> list[_Size]:
        """Of each dimension of a node's tensor, or of its tensor number `part`."""
        assert isinstance(node, Node)
        value, carried = node.meta["val"], self._carried[node]
        if part is not None:
            value, carried = value[part], carried[part]
        return [self._size(size, classes) for size, classes in zip(sizes_of(value), carried, strict=True)]

    def _size(self, size: int, classes: np.ndarray | None) -> _Size:
        if classes is None:
            return _Size(size)
        units = self._unit_of[np.minimum(classes, len(self._unit_of) - 1)]
        present, times = np.unique(units[units >= 0], return_counts=True)
        slopes = []
        for f in np.unique(self._family_of[present]).tolist():
            here = times[self._family_of[present] == f]
            if len(here) < self._units[f] or here.min() < here.max():
                self.uneven.add(f)
            slopes.append((f, float(here.sum() / self._units[f])))
        return _Size(size - int(times.sum()), tuple(slopes))


def macs_by_call(anatomy: Anatomy) -> dict[Node, int]:
    """Multiply-accumulates of every operator of the whole model, for one sample; those without any are left out."""
    sizes, samples = _Sizes(anatomy, ()), _batch_of(anatomy)
    macs = {}
    for node in anatomy.capture.graph.nodes:
        if node.op == "call_function":
            found = _multiplied(sizes, anatomy, node)
            macs[node] = sum(times * math.prod(size.fixed for size in sizes) for sizes, times in found) // samples
    return {node: count for node, count in macs.items() if count}


def _parameter_sizes(graph: ModelGraph, anatomy: Anatomy, *, read_only: bool) -> Iterator[list[_Size]]:
    """The sizes of every parameter, or of those that the output depends on; tied ones once."""
    slopes: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    gone: Counter[tuple[str, int]] = Counter()
    for f, family in enumerate(graph.families):
        for member in family.members:
            slopes[member.name, member.dim].append((f, float(member.index.shape[1])))
            gone[member.name, member.dim] += member.index.size
    owned = {name for name, _ in anatomy.capture.modules[""].named_parameters(remove_duplicate=False)}
    if read_only:
        owned &= read_tensors(anatomy.capture)
    for name in owned & graph.shapes.keys():  # shapes have first names alone
        yield [_Size(n - gone[name, dim], tuple(slopes[name, dim])) for dim, n in enumerate(graph.shapes[name])]


def _multiplied(sizes: _Sizes, anatomy: Anatomy, node: Node) -> list[tuple[_Product, int]]:
    """What a node multiplies and accumulates: products of sizes, each that many times."""
    products = _products(sizes, node)
    return [((), _counted_by_torch(anatomy, node))] if products is None else [(product, 1) for product in products]


def _products(sizes: _Sizes, node: Node) -> list[_Product] | None:
    """What a node multiplies and accumulates, as products of sizes; None if nothing here knows."""
    formula = _FORMULAS.get(base_name(node).rstrip("_"))
    if formula is not None:
        return formula(sizes, node)
    return None if rule_for(node) is None and any(map(shape_of, node.all_input_nodes)) else []


def _convolution(sizes: _Sizes, node: Node) -> list[_Product]:
    """Every weight meets every output position; that holds for any number of groups."""
    return _sliding(sizes, node, at=node)


def _transposed_convolution(sizes: _Sizes, node: Node) -> list[_Product]:
    """Every weight meets every input position."""
    return _sliding(sizes, node, at=node.args[0])


def _sliding(sizes: _Sizes, node: Node, at: object) -> list[_Product]:
    weight, positions = sizes.of(node.args[1]), sizes.of(at)
    channels = len(positions) - len(weight) + 1
    return [[*positions[:channels], *positions[channels + 1 :], *weight]]


def _linear(sizes: _Sizes, node: Node) -> list[_Product]:
    rows, weight = sizes.of(node.args[0])[:-1], sizes.of(node.args[1])
    return [[*rows, *weight]] if len(weight) == 2 else []


def _matmul(sizes: _Sizes, node: Node) -> list[_Product]:
    return _matrix_product(sizes, node, node.args[1])


def _matmul_added(sizes: _Sizes, node: Node) -> list[_Product]:
    return _matrix_product(sizes, node, node.args[2])


def _matrix_product(sizes: _Sizes, node: Node, right: object) -> list[_Product]:
    of_right = sizes.of(right)
    return [[*sizes.of(node), of_right[-2]]] if len(of_right) > 1 else []  # torch does not count products with a vector


def _attention(sizes: _Sizes, node: Node) -> list[_Product]:
    """q k^T and then its product with v, for every head of queries."""
    out, width, keys = sizes.of(node), sizes.of(node.args[0])[-1], sizes.of(node.args[1])[-2]
    return [[*out[:-1], keys, width], [*out, keys]]


def _recurrent(sizes: _Sizes, node: Node) -> list[_Product] | None:
    """Every matrix of every layer and direction meets every time step."""
    source, weights = node.args[0], node.args[2]
    if not isinstance(weights, (list, tuple)):
        return None  # packed sequences have another signature
    matrices = [weight for tensor in weights if len(weight := sizes.of(tensor)) > 1]
    return [[*sizes.of(source)[:-1], *weight] for weight in matrices]


def _einsum(sizes: _Sizes, node: Node) -> list[_Product] | None:
    """Two operands at a time, as torch contracts them: from left to right, or by a path, whose results queue up."""
    equation, tensors = node.args[:2]
    assert isinstance(equation, str) and isinstance(tensors, (list, tuple))
    into, arrow, out = equation.replace(" ", "").partition("->")
    names = into.split(",")
    if "." in equation or not arrow or any(len(set(name)) < len(name) for name in names):
        return None
    # A dimension of size 1 is broadcast: it meets nothing.
    queue = [
        {letter: size for letter, size in zip(letters, sizes.of(tensor), strict=True) if size != _Size(1)}
        for letters, tensor in zip(names, tensors, strict=True)
    ]
    path = argument(node, 2, "path")
    pairs = [sorted(path[i : i + 2]) for i in range(0, len(path), 2)] if isinstance(path, (list, tuple)) else []
    products: list[_Product] = []
    while len(queue) > 1:
        first, second = pairs.pop(0) if pairs else (0, 1)
        b, a = queue.pop(second), queue.pop(first)
        wanted = set(out).union(*queue)
        # What one operand alone has and nobody wants is summed over before they meet.
        a = {letter: size for letter, size in a.items() if letter in wanted or letter in b}
        b = {letter: size for letter, size in b.items() if letter in wanted or letter in a}
        met = {**a, **b}
        if any(letter not in wanted for letter in met):  # otherwise torch multiplies element by element
            products.append(list(met.values()))
        result = {letter: size for letter, size in met.items() if letter in wanted}
        queue = [*queue, result] if path else [result, *queue]
    return products


_FORMULAS: Final[dict[str, Callable[[_Sizes, Node], list[_Product] | None]]] = {
    **dict.fromkeys(["conv1d", "conv2d", "conv3d"], _convolution),
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], _transposed_convolution),
    "linear": _linear,
    **dict.fromkeys(["bmm", "matmul", "mm"], _matmul),
    **dict.fromkeys(["addmm", "baddbmm"], _matmul_added),
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(["gru", "lstm"], _recurrent),
}


def _counted_by_torch(anatomy: Anatomy, node: Node) -> int:
    """The MACs of an operator without formula, on tensors without data; 0 if it cannot run on those."""

    def stand_in(source: Node) -> Any:
        if source.op == "get_attr":  # the body of a higher-order operator
            return anatomy.capture.program.graph_module.get_submodule(str(source.target))
        return tree_map(_without_data, source.meta.get("val"))

    args, kwargs = map_arg((node.args, dict(node.kwargs)), stand_in)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        try:
            node.target(*args, **kwargs)  # type: ignore[operator]
        except (RuntimeError, TypeError):  # its result depends on data
            return 0
    return int(counter.get_total_flops()) // 2


def _without_data(value: object) -> object:
    if isinstance(value, Tensor):
        return torch.empty(sizes_of(value), dtype=value.dtype, device="meta")
    return example_size(value) if isinstance(value, torch.SymInt) else value


class _Written:
    """Which values an operator writes: floating-point tensors that depend on the input, in memory of their own."""

    def __init__(self, anatomy: Anatomy) -> None:
        given = set(anatomy.capture.program.graph_signature.user_inputs)
        self._varying: set[Node] = set()
        for node in anatomy.capture.graph.nodes:
            if node.name in given or any(source in self._varying for source in node.all_input_nodes):
                self._varying.add(node)

    def by(self, node: Node) -> list[int | None]:
        """The numbers of the node's written values; None stands for its only value."""
        if node not in self._varying or base_name(node) in _HANDING_ON:
            return []
        value = node.meta.get("val")
        several = isinstance(value, (list, tuple))
        values: Sequence[Any] = value if several else [value]  # type: ignore[assignment]
        read = {m for source in node.all_input_nodes for m in map(_memory, tree_leaves(source.meta.get("val")))}
        return [
            part if several else None
            for part, item in enumerate(values)
            if isinstance(item, Tensor) and item.is_floating_point() and _memory(item) not in read
        ]


# In evaluation mode these return their input; the tensors without data of an export say otherwise.
_HANDING_ON: Final = frozenset(["alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout"])


def _memory(value: object) -> int | None:
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else None


def _batch_of(anatomy: Anatomy) -> int:
    """Samples in the example inputs: the first dimension of the first of them."""
    return samples_of(anatomy.capture.example_inputs)


class _Sum:
    """A sum of products of sizes; equal products are one term."""

    def __init__(self) -> None:
        self.terms: Counter[tuple[_Size, ...]] = Counter()

    def add(self, factors: _Product, times: int = 1) -> None:
        changing = sorted((size for size in factors if not size.whole), key=lambda size: (size.slopes, size.fixed))
        self.terms[tuple(changing)] += times * math.prod(size.fixed for size in factors if size.whole)


@dataclass(frozen=True, eq=False)
class _Tables:
    """Sums of products as arrays. `slopes` (sizes x families) and `fixed` give all sizes; the first one is always 1.

    Per cost, term t is `coefficients[t]` times the sizes numbered `factors[t]`, filled up with the first.
    """

    slopes: Tensor
    fixed: Tensor
    coefficients: Mapping[str, Tensor]
    factors: Mapping[str, tuple[Tensor, ...]]  # one vector for each place in a product

    def value(self, cost: str, counts: Tensor) -> Tensor:
        sizes = self.fixed + self.slopes @ counts
        # Factor by factor: the gradient of torch.prod looks for zeros, which waits for a GPU.
        return reduce(torch.mul, (sizes[places] for places in self.factors[cost]), self.coefficients[cost]).sum()

    def to(self, device: torch.device) -> _Tables:
        return _Tables(
            self.slopes.to(device),
            self.fixed.to(device),
            {cost: tensor.to(device) for cost, tensor in self.coefficients.items()},
            {cost: tuple(places.to(device) for places in factors) for cost, factors in self.factors.items()},
        )


def _tables(sums: Mapping[str, _Sum], families: int) -> _Tables:
    number: dict[_Size, int] = {_Size(1): 0}
    for total in sums.values():
        for term in total.terms:
            for size in term:
                number.setdefault(size, len(number))
    slopes = np.zeros((len(number), families))
    for size, row in number.items():
        for f, slope in size.slopes:
            slopes[row, f] = slope
    factors: dict[str, tuple[Tensor, ...]] = {}
    for cost, total in sums.items():
        places = np.zeros((max(map(len, total.terms), default=0), len(total.terms)), np.int64)
        for column, term in enumerate(total.terms):
            places[: len(term), column] = [number[size] for size in term]
        factors[cost] = tuple(torch.from_numpy(row.copy()) for row in places)
    return _Tables(
        slopes=torch.from_numpy(slopes),
        fixed=torch.tensor([float(size.fixed) for size in number], dtype=torch.float64),
        coefficients={
            cost: torch.tensor(list(total.terms.values()), dtype=torch.float64) for cost, total in sums.items()
        },
        factors=factors,
    )
