"""The nodes of an ONNX file and the modules they come from, read without loading the weights.

Source: onnx/onnx.proto3 of ONNX 1.23, whose field numbers are used here.
"""

from __future__ import annotations

import ast
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from condensa_core.bench.protobuf import fields, message, numbers, text

_SCOPES: Final = "pkg.torch.onnx.name_scopes"  # "['', 'features', 'features.0', 'conv2d']": modules, then the fx node


@dataclass(frozen=True)
class Node:
    """A node; `module` is what its exporter noted, None where the file says nothing (those of this project)."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    module: str | None


@dataclass(frozen=True)
class Nodes:
    """Of the outer graph, in order; `weights` maps the names of stored tensors to their elements."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, int]


def read_nodes(path: Path) -> Nodes:
    """ValueError for what is no ONNX model."""
    with path.open("rb") as opened:
        whole = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    graph = next(message(value) for field, value in fields(whole) if field == 7)
    nodes, weights = [], {}
    for field, value in fields(graph):
        if field == 1:
            nodes.append(_node(message(value)))
        elif field == 5:
            name, elements = _tensor(message(value))
            weights[name] = elements
    return Nodes(tuple(nodes), weights)


def _node(node: memoryview) -> Node:
    inputs, outputs, name, operator, module = [], [], "", "", None
    for field, value in fields(node):
        if field == 1:
            inputs.append(text(value))
        elif field == 2:
            outputs.append(text(value))
        elif field == 3:
            name = text(value)
        elif field == 4:
            operator = text(value)
        elif field == 9:
            entry = {part: text(content) for part, content in fields(message(value))}
            if entry.get(1) == _SCOPES:
                scopes = ast.literal_eval(entry.get(2, "[]"))
                module = str(scopes[-2]) if len(scopes) > 1 else ""
    return Node(name, operator, tuple(inputs), tuple(outputs), module)


def _tensor(tensor: memoryview) -> tuple[str, int]:
    name, dims = "", list[int]()
    for field, value in fields(tensor):
        if field == 1:
            dims += numbers(value)
        elif field == 8:
            name = text(value)
    return name, math.prod(dims)
