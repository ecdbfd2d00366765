"""Which layers of an ONNX graph compute in 8-bit integers, and which tensors are rounded for that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from condensa_core.errors import UsageError

if TYPE_CHECKING:
    import onnx

IntegerTarget = Literal["onnxruntime", "tensorrt"]

# ONNX Runtime joins an operator with the rounding of its inputs and output; those that only move or select values do so
# where both ends are on the same grid.
_MOVES: Final = frozenset(("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"))
_COMBINES: Final = frozenset(("Add", "Concat", "AveragePool", "GlobalAveragePool"))
_CLIPS: Final = frozenset(("Relu", "Clip"))  # vanish in the rounding of what they clip


@dataclass(frozen=True)
class Layer:
    """A node, by its place in the graph. `axis` is that of the outputs in `weight`; no weight: both inputs vary."""

    place: int
    weight: str | None = None
    axis: int = 0
    bias: str | None = None


@dataclass(frozen=True)
class Rounding:
    """A tensor that is rounded to 8 bits.

    `like` is the tensor whose range it has (itself, but where values are only moved). `readers` are the places of the
    nodes that read the rounded tensor; None: all of them.
    """

    like: str
    readers: frozenset[int] | None


@dataclass(frozen=True)
class Plan:
    """Layers in the order of the graph, and the roundings by tensor."""

    layers: tuple[Layer, ...]
    roundings: dict[str, Rounding]


def plan_layers(
    model: onnx.ModelProto, target: IntegerTarget, skip: Collection[str] = (), only: Collection[str] | None = None
) -> Plan:
    """Convolutions and matrix products in integers; what lies between them on a CPU, only their inputs on TensorRT.

    ONNX Runtime needs the output of a convolution rounded to compute it in integers at all, and additions of two
    rounded tensors keep residual networks in 8 bits; TensorRT decides that itself. Stays in floating point: what `skip`
    names and `only` does not (nodes or weights; UsageError for a name the graph does not have), convolutions that end
    the graph, products with another form than x W + b.
    """
    graph = model.graph
    known = {node.name for node in graph.node} | {t.name for t in graph.initializer}
    for what, names in (("skip", skip), ("only", only or ())):
        unknown = sorted(set(names) - known)
        if unknown:
            raise UsageError(
                f"{what} names {unknown[0]!r}, which is neither a node nor a weight of the graph",
                hint="condensa inspect lists the layers of a model",
            )
    layers = _layers(model, target, frozenset(skip), None if only is None else frozenset(only))
    chosen = {name: None for layer in layers for name in _varying_inputs(model, layer)}
    if target == "tensorrt":
        readers = {name: frozenset(y.place for y in layers if name in _varying_inputs(model, y)) for name in chosen}
        return Plan(tuple(layers), {name: Rounding(name, readers[name]) for name in chosen})
    return Plan(tuple(layers), _roundings_between(model, layers, list(chosen)))


def _layers(
    model: onnx.ModelProto, target: IntegerTarget, skip: frozenset[str], only: frozenset[str] | None
) -> list[Layer]:
    constants = {t.name: t for t in model.graph.initializer}
    floats = _float_tensors(model)
    ends = {value.name for value in model.graph.output}
    found = []
    for place, node in enumerate(model.graph.node):
        layer = _layer(place, node, constants)
        if layer is None or node.name in skip or layer.weight in skip:
            continue
        if only is not None and node.name not in only and layer.weight not in only:
            continue
        if any(name not in floats for name in (*_varying_inputs(model, layer), node.output[0])):
            continue
        if target == "onnxruntime" and node.op_type == "Conv" and _clipped(model, node.output[0]) in ends:
            continue
        found.append(layer)
    return found


def _layer(place: int, node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> Layer | None:
    import onnx

    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    if node.op_type == "MatMul":
        if node.input[0] in constants:
            return None
        if node.input[1] not in constants:
            return Layer(place)
        return Layer(place, node.input[1], 1) if len(constants[node.input[1]].dims) == 2 else None
    if node.op_type not in ("Conv", "Gemm") or node.input[0] in constants or node.input[1] not in constants:
        return None
    if bias is not None and (bias not in constants or len(constants[bias].dims) != 1):
        return None
    if node.op_type == "Conv":
        return Layer(place, node.input[1], 0, bias)
    if attributes.get("alpha", 1) != 1 or attributes.get("beta", 1) != 1 or attributes.get("transA", 0):
        return None
    return Layer(place, node.input[1], 0 if attributes.get("transB", 0) else 1, bias)


def _varying_inputs(model: onnx.ModelProto, layer: Layer) -> list[str]:
    inputs = model.graph.node[layer.place].input
    return list(inputs[:2] if layer.weight is None else inputs[:1])


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    import onnx

    typed = onnx.shape_inference.infer_shapes(model).graph
    values = (*typed.input, *typed.value_info, *typed.output)
    return {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}


def _clipped(model: onnx.ModelProto, name: str) -> str:
    """The output of the clipping that alone reads the tensor, if one does; else the tensor."""
    readers = [node for node in model.graph.node if name in node.input]
    ends = {value.name for value in model.graph.output}
    alone = len(readers) == 1 and readers[0].op_type in _CLIPS and name not in ends
    return readers[0].output[0] if alone else name


def _roundings_between(model: onnx.ModelProto, layers: list[Layer], inputs: list[str]) -> dict[str, Rounding]:
    nodes = model.graph.node
    ends = {value.name for value in model.graph.output}
    constants = {t.name for t in model.graph.initializer}
    integer = {layer.place for layer in layers}
    like = {name: name for name in inputs}
    everywhere: set[str] = set()  # tensors that only their rounding reads: what made them computes in integers
    for place, node in enumerate(nodes):
        if node.op_type == "Conv" and place in integer:
            whole = _clipped(model, node.output[0])
        elif node.op_type in _MOVES and node.input[0] in like:
            whole = node.output[0]
            if whole not in ends:
                like[whole] = like[node.input[0]]
        elif node.op_type in _COMBINES and not constants.intersection(node.input) and set(node.input) <= set(like):
            whole = _clipped(model, node.output[0])
        else:
            continue
        integer.add(place)
        if whole not in ends:
            like.setdefault(whole, whole)
            everywhere.add(whole)
    reading = {name: frozenset(p for p in integer if name in nodes[p].input) for name in like}
    return {name: Rounding(root, None if name in everywhere else reading[name]) for name, root in like.items()}
