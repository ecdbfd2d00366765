"""The nodes of an ONNX file, those in branches and loops too, and the modules they come from; weights stay on disk."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np

from condensa_core.bench.onnx_graph import Graph, GraphNode, Tensor, read_graphs
from condensa_core.bench.protobuf import mapped

_SCOPES: Final = "pkg.torch.onnx.name_scopes"  # "['', 'features', 'features.0', 'conv2d']": modules, then the fx node


@dataclass(frozen=True)
class Weight:
    """A stored tensor; `content` are its bytes as they lie in a file, None where they are stored as numbers."""

    shape: tuple[int, ...]
    element: str  # FLOAT, INT64, ... as ONNX names them
    content: memoryview | None = field(default=None, compare=False, repr=False)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def is_substance(self) -> bool:
        """Whether it can be a parameter, not a shape, an axis or the scale of a grid."""
        return self.elements > 1 and not (self.element == "INT64" and len(self.shape) < 2)

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
    return _Reader(path.parent).nodes(read_graphs(path)[0])


class _Reader:
    """Files beside a model that hold weights are mapped once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._beside: dict[str, memoryview] = {}

    def nodes(self, graph: Graph) -> Nodes:
        constants = {
            node.outputs[0]: node.tensors[0] for node in graph.nodes if node.operator == "Constant" and node.tensors
        }
        stored = {tensor.name: tensor for tensor in graph.weights} | constants
        weights = {name: Weight(tensor.shape, tensor.element, self._content(tensor)) for name, tensor in stored.items()}
        return Nodes(tuple(map(self._node, graph.nodes)), weights, tuple(value.name for value in graph.inputs))

    def _node(self, node: GraphNode) -> Node:
        inner = tuple(map(self.nodes, node.inner))
        module = _innermost(node.notes[_SCOPES]) if _SCOPES in node.notes else None
        return Node(node.name, node.operator, node.inputs, node.outputs, module, inner)

    def _content(self, tensor: Tensor) -> memoryview | None:
        if (part := tensor.external) is None:
            return tensor.content
        if part.location not in self._beside:
            self._beside[part.location] = mapped(self._folder / part.location)
        length = part.length or tensor.size_bytes
        return self._beside[part.location][part.offset : part.offset + length]


def _innermost(scopes: str) -> str | None:
    """The module of a list such as that above, '' for the model itself; None for what is no such list."""
    try:
        found = ast.literal_eval(scopes)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # anybody may have written it
        return None
    if not isinstance(found, list):
        return None
    return str(found[-2]) if len(found) > 1 else ""
