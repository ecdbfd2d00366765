"""Where each node came from: read into a table, then removed from the file.

torch.onnx writes stack traces with absolute local paths and source lines into every node: up to 6 % of a small file,
and nobody's business. The module names among them are worth keeping, outside the file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"  # "['', 'features', 'features.0', 'conv2d']": modules, then the fx node


def module_names(model: onnx.ModelProto) -> dict[str, str]:
    """Node name -> the innermost module whose forward made it ('' for the model itself)."""
    table = {}
    for node in model.graph.node:
        for entry in node.metadata_props:
            if entry.key == _SCOPES:
                scopes = ast.literal_eval(entry.value)
                table[node.name] = str(scopes[-2]) if len(scopes) > 1 else ""
    return table


def strip(model: onnx.ModelProto) -> None:
    """Remove, in place, every metadata entry and doc string, and the intermediate shapes any tool can infer again."""
    _strip_graph(model.graph)
    for function in model.functions:
        _strip_entries(function)
        for node in function.node:
            _strip_entries(node)
    _strip_entries(model)


def _strip_graph(graph: onnx.GraphProto) -> None:
    _strip_entries(graph)
    del graph.value_info[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        _strip_entries(value)
    for node in graph.node:
        _strip_entries(node)
        for subgraph in _subgraphs(node):
            _strip_graph(subgraph)


def _subgraphs(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _strip_entries(
    holder: onnx.ModelProto
    | onnx.GraphProto
    | onnx.FunctionProto
    | onnx.NodeProto
    | onnx.ValueInfoProto
    | onnx.TensorProto,
) -> None:
    del holder.metadata_props[:]
    holder.ClearField("doc_string")
