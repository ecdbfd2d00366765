"""What an ONNX file asks of whoever loads it, read without loading it: inputs, sizes, other files, operators.

The weights are passed over, so a file of gigabytes is described in the time its nodes take.
Source: onnx/onnx.proto3 of ONNX 1.23, whose field numbers are used here.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from condensa_core.bench.protobuf import fields, message, number, numbers, text
from condensa_core.bench.tensor_types import TensorSignature, bits_of
from condensa_core.errors import UsageError

# The names of TensorProto.DataType by number.
_ELEMENTS: Final = (
    "UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE",
    "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2",
    "FLOAT8E5M2FNUZ", "UINT4", "INT4", "FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2", "FLOAT6E2M3", "FLOAT6E3M2",
)  # fmt: skip
_EXTERNAL: Final = 1  # TensorProto.DataLocation


@dataclass(frozen=True)
class External:
    """Weights that the file keeps in another: `location` as the file gives it, relative to its own folder."""

    tensor: str
    location: str
    offset: int
    length: int  # 0 where the file does not say, which means as many as the type and the shape take


@dataclass(frozen=True)
class OnnxHeader:
    """The inputs without the weights among them, the outputs, and what loading takes."""

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    nodes: int
    weight_bytes: int  # declared by types and shapes, inside the file and outside
    external: tuple[External, ...]


def read_header(path: Path) -> OnnxHeader:
    """UsageError for what is not an ONNX model; the file exists and is not empty."""
    try:
        with path.open("rb") as file:
            return _model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except ValueError as err:  # of the wire format, or of text that is no UTF-8
        raise UsageError(f"{path} is not an ONNX model: {err}", hint="export it again, or check the download") from err


def _model(content: memoryview) -> OnnxHeader:
    graph = None
    for field, value in fields(content):
        if field == 7:
            graph = message(value)
        elif not 0 < field <= 25:
            raise ValueError(f"no model has a field {field}")
    if graph is None:
        raise ValueError("it holds no graph")
    found = _Graph()
    found.read(graph)
    if not found.nodes and not found.outputs:
        raise ValueError("its graph is empty")
    weights = {name for name, _ in found.weights}
    return OnnxHeader(
        inputs=tuple(value for value in found.inputs if value.name not in weights),
        outputs=tuple(found.outputs),
        nodes=found.nodes,
        weight_bytes=sum(size for _, size in found.weights),
        external=tuple(found.external),
    )


class _Graph:
    """What a graph and the graphs inside its nodes hold; inputs and outputs are those of the outer one."""

    def __init__(self) -> None:
        self.inputs: list[TensorSignature] = []
        self.outputs: list[TensorSignature] = []
        self.weights: list[tuple[str, int]] = []
        self.external: list[External] = []
        self.nodes = 0

    def read(self, graph: memoryview, *, inner: bool = False) -> None:
        for field, value in fields(graph):
            if field == 1:
                self.nodes += 1
                self._node(message(value))
            elif field == 5:
                self._tensor(message(value))
            elif field == 15:  # a sparse tensor: its values are a tensor
                for part, tensor in fields(message(value)):
                    if part == 1:
                        self._tensor(message(tensor))
            elif field == 11 and not inner:
                self.inputs.append(_value_info(message(value)))
            elif field == 12 and not inner:
                self.outputs.append(_value_info(message(value)))

    def _node(self, node: memoryview) -> None:
        for attribute in _of(node, 5):
            for field, value in fields(attribute):
                if field in (5, 10):
                    self._tensor(message(value))
                elif field in (6, 11):
                    self.read(message(value), inner=True)

    def _tensor(self, tensor: memoryview) -> None:
        dims: list[int] = []
        element = location = 0
        name, entries = "", dict[str, str]()
        for field, value in fields(tensor):
            if field == 1:
                dims += numbers(value)
            elif field == 2:
                element = number(value)
            elif field == 8:
                name = text(value)
            elif field == 13:
                entry = {part: text(content) for part, content in fields(message(value))}
                entries[entry.get(1, "")] = entry.get(2, "")
            elif field == 14:
                location = number(value)
        size = math.ceil(math.prod(dims) * bits_of(_element(element)) / 8)
        self.weights.append((name, size))
        if location == _EXTERNAL:
            offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
            self.external.append(External(name, entries.get("location", ""), offset, length))


def _value_info(value: memoryview) -> TensorSignature:
    name, element, shape = "", "UNDEFINED", list[int | str | None]()
    for field, content in fields(value):
        if field == 1:
            name = text(content)
        elif field == 2:
            for kind, described in fields(message(content)):
                if kind != 1:  # a sequence, a map, an optional or a sparse tensor
                    element = "no tensor"
                    continue
                for part, detail in fields(message(described)):
                    if part == 1:
                        element = _element(number(detail))
                    elif part == 2:
                        shape = [_dimension(dimension) for dimension in _of(message(detail), 1)]
    return TensorSignature(name, element, tuple(shape))


def _dimension(dimension: memoryview) -> int | str | None:
    size: int | str | None = None
    for field, value in fields(dimension):
        if field == 1:
            size = number(value)
        elif field == 2:
            size = text(value) or None
    return None if isinstance(size, int) and size < 0 else size


def _of(parent: memoryview, wanted: int) -> Iterator[memoryview]:
    return (message(value) for field, value in fields(parent) if field == wanted)


def _element(kind: int) -> str:
    if not 0 <= kind < len(_ELEMENTS):
        raise ValueError(f"no element type has the number {kind}")
    return _ELEMENTS[kind]
