"""The values that an integer model's inputs are meant to have, by the quantizers that they go into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from condensa_core.bench.onnx_graph import Graph, Tensor

# What hands on the values of its first input, perhaps not all of them or in another order.
_HANDS_ON: Final = frozenset({
    "Cast", "Expand", "Flatten", "Identity", "MaxPool", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
})  # fmt: skip
_GRIDS: Final = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767), "UINT16": (0, 65535)}


def intervals_of(graph: Graph) -> Mapping[str, tuple[float, float]]:
    """From the least to the largest value that the quantizer of an input tells apart, by the input's name.

    An input counts that goes into a QuantizeLinear with one scale, stored in the file, perhaps over nodes that only
    move its values; the widest interval of several such.
    """
    stored = {tensor.name: tensor for tensor in graph.weights}
    sources = {value.name: value.name for value in graph.inputs if value.name not in stored}
    found: dict[str, tuple[float, float]] = {}
    for node in graph.nodes:
        if node.operator == "Constant" and node.tensors:
            stored[node.outputs[0]] = node.tensors[0]
        source = sources.get(node.inputs[0]) if node.inputs else None
        if source is None:
            continue
        if node.operator in _HANDS_ON:
            sources |= dict.fromkeys(node.outputs, source)
        elif node.operator == "QuantizeLinear" and (interval := _of_quantizer(node.inputs, stored)):
            low, high = found.get(source, interval)
            found[source] = min(low, interval[0]), max(high, interval[1])
    return found


def _of_quantizer(inputs: tuple[str, ...], stored: Mapping[str, Tensor]) -> tuple[float, float] | None:
    scale = stored[inputs[1]].scalar if len(inputs) > 1 and inputs[1] in stored else None
    element, zero = "UINT8", 0.0
    if len(inputs) > 2 and inputs[2]:
        point = stored.get(inputs[2])
        if point is None or point.scalar is None:
            return None
        element, zero = point.element, point.scalar
    if scale is None or not (math.isfinite(scale) and scale > 0) or element not in _GRIDS:
        return None
    least, most = _GRIDS[element]
    return (least - zero) * scale, (most - zero) * scale
