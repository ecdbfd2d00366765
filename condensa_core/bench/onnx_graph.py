"""An ONNX file's graphs, those inside its nodes and functions too, read without loading it.

The weights are passed over, so a file of gigabytes is described in the time its nodes take.
Source: onnx/onnx.proto3 of ONNX 1.23, whose field numbers are used here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from condensa_core.bench.protobuf import fields, mapped, message, number, numbers, text
from condensa_core.bench.tensor_types import TensorSignature, bits_of

# The names of TensorProto.DataType by number.
ELEMENTS: Final = (
    "UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE",
    "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2",
    "FLOAT8E5M2FNUZ", "UINT4", "INT4", "FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2", "FLOAT6E2M3", "FLOAT6E3M2",
)  # fmt: skip
_EXTERNAL: Final = 1  # TensorProto.DataLocation
DEEPEST: Final = 33  # graphs within graphs: each is three messages deep, of which protobuf reads no more than 100
# How a single value is packed in raw_data, little end first.
_PACKED: Final = {
    "FLOAT": "<f", "FLOAT16": "<e", "DOUBLE": "<d", "INT8": "<b", "UINT8": "<B", "INT16": "<h", "UINT16": "<H",
    "INT32": "<i", "INT64": "<q",
}  # fmt: skip


@dataclass(frozen=True)
class External:
    """Weights that the file keeps in another: `location` as the file gives it, relative to its own folder."""

    tensor: str
    location: str
    offset: int
    length: int  # 0 where the file does not say, which means as many as the type and the shape take


@dataclass(frozen=True)
class Tensor:
    """Stored values, passed over; `size_bytes` is what the type and the shape take."""

    name: str
    element: str  # FLOAT, INT64, ... as ONNX names them
    shape: tuple[int, ...]
    external: External | None
    scalar: float | None  # the value itself where there is but one, in the file, of a type that is read here
    content: memoryview | None  # all values as raw_data has them, where they lie in the file like that

    @property
    def size_bytes(self) -> int:
        return math.ceil(math.prod(self.shape) * bits_of(self.element) / 8)


@dataclass(frozen=True)
class GraphNode:
    """A node: `tensors` are those among its attributes, `numbers` its attributes that are an integer.

    `inner` are the graphs that it runs, `notes` what its exporter noted.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    numbers: dict[str, int]
    literal_bytes: int  # of the plain numbers that a Constant holds
    inner: tuple[Graph, ...]
    notes: dict[str, str]


@dataclass
class Graph:
    """The nodes of a graph or a function, and the weights and values that it declares."""

    nodes: list[GraphNode] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    inputs: list[TensorSignature] = field(default_factory=list)
    outputs: list[TensorSignature] = field(default_factory=list)


def read_graphs(path: Path) -> list[Graph]:
    """The outer graph, then every graph inside a node, then the bodies of the functions.

    ValueError for what is not an ONNX model, and for graphs in graphs deeper than any runtime reads. The file is not
    empty.
    """
    outer, functions = None, []
    for part, value in fields(mapped(path)):
        if part == 7:
            outer = message(value)
        elif part == 25:
            functions.append(message(value))
        elif not 0 < part <= 25:
            raise ValueError(f"no model has a field {part}")
    if outer is None:
        raise ValueError("it holds no graph")
    graphs = []
    waiting = [(outer, Graph(), 1, 0), *((function, Graph(), 7, 0) for function in functions)]
    while waiting:
        content, graph, nodes_in, depth = waiting.pop(0)
        if depth > DEEPEST:
            raise ValueError(f"graphs are nested more than {DEEPEST} deep")
        inner: list[tuple[memoryview, Graph]] = []
        graphs.append(graph)
        _read(content, nodes_in, graph, inner)
        waiting += [(part, within, 1, depth + 1) for part, within in inner]
    return graphs


def _read(content: memoryview, nodes_in: int, graph: Graph, inner: list[tuple[memoryview, Graph]]) -> None:
    """What a GraphProto (nodes in field 1) or a FunctionProto (nodes in field 7, defaults in 11) declares."""
    for part, value in fields(content):
        if part == nodes_in:
            graph.nodes.append(_node(message(value), inner))
        elif nodes_in != 1:
            if part == 11:
                _read_default(message(value), graph, inner)
        elif part == 5:
            graph.weights.append(_tensor(message(value)))
        elif part == 15:
            graph.weights += _values_of_sparse(message(value))
        elif part == 11:
            graph.inputs.append(_value_info(message(value)))
        elif part == 12:
            graph.outputs.append(_value_info(message(value)))


def _read_default(attribute: memoryview, graph: Graph, inner: list[tuple[memoryview, Graph]]) -> None:
    """What an attribute of a function is where a call gives none: its tensors become weights of the function."""
    for part, value in fields(attribute):
        if part in (5, 10):
            graph.weights.append(_tensor(message(value)))
        elif part in (22, 23):
            graph.weights += _values_of_sparse(message(value))
        elif part in (6, 11):
            inner.append((message(value), Graph()))


def _node(node: memoryview, inner: list[tuple[memoryview, Graph]]) -> GraphNode:
    """The node; graphs among its attributes are appended to `inner`, still to be read."""
    name = operator = ""
    notes: dict[str, str] = {}
    graphs: list[Graph] = []
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: list[memoryview] = []
    for part, value in fields(node):
        if part == 1:
            inputs.append(text(value))
        elif part == 2:
            outputs.append(text(value))
        elif part == 3:
            name = text(value)
        elif part == 4:
            operator = text(value)
        elif part == 5:
            attributes.append(message(value))
        elif part == 9:
            notes |= [_entry(message(value))]
    tensors: list[Tensor] = []
    integers: dict[str, int] = {}
    literal_bytes = 0
    for attribute in attributes:
        called = ""
        for part, value in fields(attribute):
            if part == 1:
                called = text(value)
            elif part == 3:
                integers[called] = number(value)
            elif part in (5, 10):
                tensors.append(_tensor(message(value)))
            elif part in (6, 11):
                graphs.append(Graph())
                inner.append((message(value), graphs[-1]))
            elif part in (22, 23):
                tensors += _values_of_sparse(message(value))
            elif part == 7 and operator == "Constant":
                literal_bytes += len(message(value))
            elif part == 8 and operator == "Constant":
                literal_bytes += 8 * len(numbers(value))
    read, made = tuple(inputs), tuple(outputs)
    return GraphNode(name, operator, read, made, tuple(tensors), integers, literal_bytes, tuple(graphs), notes)


def _entry(entry: memoryview) -> tuple[str, str]:
    """The key and the value of a StringStringEntryProto."""
    found = {part: text(value) for part, value in fields(entry)}
    return found.get(1, ""), found.get(2, "")


def _values_of_sparse(sparse: memoryview) -> list[Tensor]:
    return [_tensor(message(value)) for part, value in fields(sparse) if part == 1]


def _tensor(tensor: memoryview) -> Tensor:
    shape: list[int] = []
    kind = location = 0
    name, entries = "", dict[str, str]()
    stored: dict[int, int | memoryview] = {}
    for part, value in fields(tensor):
        if part == 1:
            shape += numbers(value)
        elif part == 2:
            kind = number(value)
        elif part == 8:
            name = text(value)
        elif part == 13:
            entries |= [_entry(message(value))]
        elif part == 14:
            location = number(value)
        elif part in (4, 5, 7, 9, 10):
            stored[part] = value
    element = _element(kind)
    external = None
    if location == _EXTERNAL:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
        external = External(name, entries.get("location", ""), offset, length)
    scalar = _scalar(element, stored) if external is None and math.prod(shape) == 1 else None
    content = stored.get(9) or stored.get({"FLOAT": 4, "DOUBLE": 10}.get(element, 0))
    as_stored = content if isinstance(content, memoryview) and external is None else None
    found = Tensor(name, element, tuple(shape), external, scalar, as_stored)
    raw = stored.get(9)
    if isinstance(raw, memoryview) and external is None and 0 < len(raw) < found.size_bytes:
        raise ValueError(f"tensor {name!r} should take {found.size_bytes:,} bytes and has {len(raw):,}")
    return found


def _scalar(element: str, stored: dict[int, int | memoryview]) -> float | None:
    """The only value, from raw_data or the field of its type; None where its bytes are not as many as it takes."""
    form = _PACKED.get(element)
    if form is None:
        return None
    raw = stored.get(9) or stored.get({"FLOAT": 4, "DOUBLE": 10}.get(element, 0))
    if isinstance(raw, memoryview):
        return float(struct.unpack(form, raw)[0]) if len(raw) == struct.calcsize(form) else None
    value = stored.get(7 if element == "INT64" else 5)
    found = [] if value is None else numbers(value)
    if len(found) != 1:
        return None
    bits = found[0] & 0xFFFF
    return float(struct.unpack("<e", struct.pack("<H", bits))[0]) if element == "FLOAT16" else float(found[0])


def _value_info(value: memoryview) -> TensorSignature:
    name, element, shape = "", "UNDEFINED", list[int | str | None]()
    for part, content in fields(value):
        if part == 1:
            name = text(content)
        elif part == 2:
            for kind, described in fields(message(content)):
                if kind != 1:  # a sequence, a map, an optional or a sparse tensor
                    element = "no tensor"
                    continue
                for which, detail in fields(message(described)):
                    if which == 1:
                        element = _element(number(detail))
                    elif which == 2:
                        shape = [_dimension(dimension) for dimension in _of(message(detail), 1)]
    return TensorSignature(name, element, tuple(shape))


def _dimension(dimension: memoryview) -> int | str | None:
    size: int | str | None = None
    for part, value in fields(dimension):
        if part == 1:
            size = number(value)
        elif part == 2:
            size = text(value) or None
    return None if isinstance(size, int) and size < 0 else size


def _of(parent: memoryview, wanted: int) -> Iterator[memoryview]:
    return (message(value) for part, value in fields(parent) if part == wanted)


def _element(kind: int) -> str:
    if not 0 <= kind < len(ELEMENTS):
        raise ValueError(f"no element type has the number {kind}")
    return ELEMENTS[kind]
