"""The part of a graph that does not depend on its inputs: found, evaluated, and put back as stored tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from condensa_core.errors import OUR_FAULT, ExportFailed, first_line
from condensa_core.export.session import onnxruntime
from condensa_core.export.tried_first import tried_first

if TYPE_CHECKING:
    import onnx

# Not functions of their inputs alone, or no tensors; and what runtimes look for to compute in integers.
_KEPT: Final = {
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout"),
    *("If", "Loop", "Scan", "SequenceMap", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
}


def densify(model: onnx.ModelProto) -> None:
    """Evaluate every node of the graph that reads constants alone, and store its value in its place; in place.

    ONNX Runtime evaluates them, as it would at load. Pairs of quantize nodes stay, and so do nodes without inputs,
    whose tensors are as small as they can be.
    """
    import onnx

    nodes = constant_nodes(model)
    if not nodes:
        return
    gone = {id(node) for node in nodes}
    rest = [node for node in model.graph.node if id(node) not in gone]
    read = set(names_read(rest)) | {value.name for value in model.graph.output}
    wanted = [name for node in nodes for name in node.output if name in read]
    values = evaluate(model, nodes, wanted)
    stored = [onnx.numpy_helper.from_array(values[name], name=name) for name in wanted]
    kept = [node for node in rest if node.op_type != "Constant" or not read.isdisjoint(node.output)]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    initializers = [t for t in model.graph.initializer if t.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*initializers, *stored])


def constant_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes with inputs that are all constant, in the order of the graph."""
    overridable = {value.name for value in model.graph.input}
    constant = {t.name for t in model.graph.initializer} - overridable
    found = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            constant.update(node.output)
        elif _foldable(node) and constant.issuperset(filter(None, node.input)) and any(node.input):
            constant.update(node.output)
            found.append(node)
    return found


def evaluate(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The values of `names` that constant `nodes` of the model compute; ExportFailed if the runtime refuses them."""
    import onnx

    if not names:
        return {}
    needed = set(names_read(nodes))
    sources = [n for n in model.graph.node if n.op_type == "Constant" and not needed.isdisjoint(n.output)]
    graph = onnx.helper.make_graph(
        [*sources, *nodes],
        "constants",
        [],
        [onnx.ValueInfoProto(name=name) for name in names],
        [t for t in model.graph.initializer if t.name in needed],
    )
    alone = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL  # compute, do not fold
    content = alone.SerializeToString()
    tried_first(content)
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return dict(zip(names, session.run(list(names), {}), strict=True))
    except Exception as err:  # the runtime's errors share no base class with a name
        raise ExportFailed(
            f"ONNX Runtime cannot evaluate the constants of the graph: {first_line(err)}", hint=OUR_FAULT
        ) from err


def _foldable(node: onnx.NodeProto) -> bool:
    standard = node.domain in ("", "ai.onnx") and node.op_type not in _KEPT
    tensors = not node.op_type.startswith(("Sequence", "SplitToSequence", "Optional", "String"))
    return standard and tensors and not any(a.HasField("g") or a.graphs for a in node.attribute)


def names_read(nodes: Iterable[onnx.NodeProto]) -> Iterable[str]:
    """Inputs of the nodes, and everything their subgraphs read."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            for subgraph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from names_read(subgraph.node)
                yield from (value.name for value in subgraph.output)
