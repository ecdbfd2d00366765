"""An ONNX model whose nodes all have names, so that a profile can tell them apart; nothing else of it changes.

Written on the wire format, whose weights are copied as they are. Source: onnx/onnx.proto3 of ONNX 1.23 (field numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from condensa_core.bench.onnx_nodes import read_nodes
from condensa_core.bench.protobuf import fields, message, text

_NODES_OF: Final = {7: 1, 25: 7}  # of the graph of a model, of its functions
_OF_GRAPH_ATTRIBUTES: Final = frozenset({1, 6, 11, 13, 20, 21})  # name, graph, graphs, doc string, type, reference


def with_named_nodes(path: Path) -> bytes | None:
    """The model with nodes without a name called after what they make; None if all have one.

    Nodes of local functions get theirs where others do. ValueError for what is no ONNX model.
    """
    names = {node.name for node in read_nodes(path).every_node()}
    return None if "" not in names else b"".join(_Writer(names).model(memoryview(path.read_bytes())))


class _Writer:
    def __init__(self, taken: set[str]) -> None:
        self._taken = taken

    def model(self, model: memoryview) -> Iterator[bytes]:
        for part, value in fields(model):
            nodes = _NODES_OF.get(part)
            yield _field(part, value if nodes is None else self._graph(message(value), nodes))

    def _graph(self, graph: memoryview, nodes: int) -> bytes:
        """Of a graph or a local function, whose nodes are in this field."""
        return b"".join(
            _field(part, self._node(message(value)) if part == nodes else value) for part, value in fields(graph)
        )

    def _node(self, node: memoryview) -> bytes:
        found, made, named = [], "", False
        for part, value in fields(node):
            if part == 2:
                made = made or text(value)
            named |= part == 3 and bool(text(value))
            found.append(_field(part, self._attribute(message(value)) if part == 5 else value))
        return b"".join(found) if named else b"".join(found) + _field(3, self._name(made).encode())

    def _attribute(self, attribute: memoryview) -> bytes | memoryview:
        """With the nodes of its graphs named, if it holds graphs."""
        parts = list(fields(attribute))
        numbers = {part for part, _ in parts}
        if not numbers & {6, 11} or not numbers <= _OF_GRAPH_ATTRIBUTES:
            return attribute
        return b"".join(
            _field(part, self._graph(message(value), _NODES_OF[7]) if part in (6, 11) else value)
            for part, value in parts
        )

    def _name(self, made: str) -> str:
        name, count = made or "node", 0
        while name in self._taken:
            count += 1
            name = f"{made}_{count}"
        self._taken.add(name)
        return name


def _field(part: int, value: int | bytes | memoryview) -> bytes:
    """A number, or what has a length: the messages that are written here have nothing else."""
    if isinstance(value, int):
        return _varint(part << 3) + _varint(value)
    return _varint(part << 3 | 2) + _varint(len(value)) + bytes(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
