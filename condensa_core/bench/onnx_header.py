"""What an ONNX file asks of whoever loads it: inputs, sizes, other files, operators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from condensa_core.bench.input_intervals import intervals_of
from condensa_core.bench.onnx_graph import External, read_graphs
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.errors import UsageError


@dataclass(frozen=True)
class OnnxHeader:
    """The inputs without the weights among them, the outputs, and what loading takes."""

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    nodes: int  # of all graphs
    weight_bytes: int  # declared by types and shapes, inside the file and outside
    external: tuple[External, ...]


def read_header(path: Path) -> OnnxHeader:
    """UsageError for what is not an ONNX model; the file exists and is not empty."""
    try:
        graphs = read_graphs(path)
        outer = graphs[0]
        nodes = [node for graph in graphs for node in graph.nodes]
        if not nodes and not outer.outputs:
            raise ValueError("its graph is empty")
    except ValueError as err:  # of the wire format, or of text that is no UTF-8
        raise UsageError(f"{path} is not an ONNX model: {err}", hint="export it again, or check the download") from err
    weights = [tensor for graph in graphs for tensor in graph.weights]
    weights += [tensor for node in nodes for tensor in node.tensors]
    with_values = {tensor.name for tensor in outer.weights}  # an old model lists them among its inputs
    intervals = intervals_of(outer)
    return OnnxHeader(
        inputs=tuple(
            replace(value, interval=intervals.get(value.name))
            for value in outer.inputs
            if value.name not in with_values
        ),
        outputs=tuple(outer.outputs),
        nodes=len(nodes),
        weight_bytes=sum(tensor.size_bytes for tensor in weights) + sum(node.literal_bytes for node in nodes),
        external=tuple(tensor.external for tensor in weights if tensor.external is not None),
    )
