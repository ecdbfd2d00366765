"""The nodes of an ONNX file, those in branches and loops too, and the modules they come from; weights stay on disk.

Source: onnx/onnx.proto3 of ONNX 1.23, whose field numbers are used here.
"""

from __future__ import annotations

import ast
import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np

from condensa_core.bench.protobuf import fields, message, number, numbers, text

_SCOPES: Final = "pkg.torch.onnx.name_scopes"  # "['', 'features', 'features.0', 'conv2d']": modules, then the fx node
_INT64: Final = 7  # TensorProto.DataType


@dataclass(frozen=True)
class Weight:
    """A stored tensor; `content` are its bytes as they lie in a file, None where they are stored as numbers."""

    shape: tuple[int, ...]
    element: int  # TensorProto.DataType
    content: memoryview | None = field(default=None, compare=False, repr=False)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def is_substance(self) -> bool:
        """Whether it can be a parameter, not a shape, an axis or the scale of a grid."""
        return self.elements > 1 and not (self.element == _INT64 and len(self.shape) < 2)

    def digest(self, *, transposed: bool = False) -> bytes | None:
        """Of type, shape and bytes, those of its transpose if asked; None where the bytes are not at hand."""
        if self.content is None or not self.elements or len(self.content) % self.elements:
            return None
        found = blake2b(digest_size=16)
        shape = self.shape[::-1] if transposed else self.shape
        found.update(f"{self.element} {shape}".encode())
        if transposed:
            width = len(self.content) // self.elements
            found.update(np.frombuffer(self.content, f"V{width}").reshape(self.shape).T.tobytes())
        else:
            found.update(self.content)
        return found.digest()


@dataclass(frozen=True)
class Node:
    """A node; `module` is what its exporter noted, None where the file says nothing (those of this project).

    `inner` are the graphs that a branch or a loop runs.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    module: str | None
    domain: str = ""
    inner: tuple[Nodes, ...] = ()


@dataclass(frozen=True)
class Nodes:
    """Of a graph, in order; `weights` are the stored tensors by name, `inputs` what it is fed, weights perhaps too."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, Weight]
    inputs: tuple[str, ...] = ()

    def graphs(self) -> Iterator[Nodes]:
        """This one and those inside its nodes, however deep."""
        yield self
        for node in self.nodes:
            for inner in node.inner:
                yield from inner.graphs()

    def every_node(self) -> Iterator[Node]:
        """Those inside a node before it; so each comes after all whose values it reads."""
        for node in self.nodes:
            for inner in node.inner:
                yield from inner.every_node()
            yield node


def read_nodes(path: Path) -> Nodes:
    """Of the outer graph; ValueError for what is no ONNX model."""
    graph = next(message(value) for part, value in fields(_mapped(path)) if part == 7)
    return _Reader(path.parent).graph(graph)


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as opened:
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


class _Reader:
    """Reads the parts of a model; files beside it that hold weights are mapped once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._beside: dict[str, memoryview] = {}

    def graph(self, graph: memoryview) -> Nodes:
        nodes: list[Node] = []
        weights: dict[str, Weight] = {}
        inputs: list[str] = []
        for part, value in fields(graph):
            if part == 1:
                node, constant = self._node(message(value))
                nodes.append(node)
                if constant is not None:
                    weights[node.outputs[0]] = constant
            elif part == 5:
                name, weight = self._tensor(message(value))
                weights[name] = weight
            elif part == 11:
                inputs += (text(content) for described, content in fields(message(value)) if described == 1)
        return Nodes(tuple(nodes), weights, tuple(inputs))

    def _node(self, node: memoryview) -> tuple[Node, Weight | None]:
        """The node, and its tensor if it is a Constant."""
        inputs, outputs, name, operator, domain, module = [], [], "", "", "", None
        inner: list[Nodes] = []
        constant = None
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
                for kind, content in fields(message(value)):
                    if kind == 5:
                        constant = self._tensor(message(content))[1]
                    elif kind in (6, 11):
                        inner.append(self.graph(message(content)))
            elif part == 7:
                domain = text(value)
            elif part == 9:
                entry = {kind: text(content) for kind, content in fields(message(value))}
                if entry.get(1) == _SCOPES:
                    scopes = ast.literal_eval(entry.get(2, "[]"))
                    module = str(scopes[-2]) if len(scopes) > 1 else ""
        found = Node(name, operator, tuple(inputs), tuple(outputs), module, domain, tuple(inner))
        return found, constant if operator == "Constant" else None

    def _tensor(self, tensor: memoryview) -> tuple[str, Weight]:
        name, element, dims, stored = "", 0, list[int](), None
        outside: dict[str, str] = {}
        for part, value in fields(tensor):
            if part == 1:
                dims += numbers(value)
            elif part == 2:
                element = number(value)
            elif part == 8:
                name = text(value)
            elif part == 9 or (
                part == 4 and not isinstance(value, int) and len(value) > 4
            ):  # floats lie as raw bytes do
                stored = message(value)
            elif part == 13:
                entry = {kind: text(content) for kind, content in fields(message(value))}
                outside[entry.get(1, "")] = entry.get(2, "")
        if outside:
            stored = self._outside(
                outside["location"], int(outside.get("offset") or 0), int(outside.get("length") or 0)
            )
        return name, Weight(tuple(dims), element, stored)

    def _outside(self, location: str, offset: int, length: int) -> memoryview | None:
        if not length:
            return None
        if location not in self._beside:
            self._beside[location] = _mapped(self._folder / location)
        return self._beside[location][offset : offset + length]
