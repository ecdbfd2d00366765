"""Small ONNX models of many operators, types and structures: what mutations start from."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSETS = [helper.make_opsetid("", 20)]


def _model(nodes: list, inputs: list, outputs: list, weights: list) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=_OPSETS, ir_version=10)


def _weight(name: str, *shape: int, kind: type = np.float32) -> onnx.TensorProto:
    values = np.random.default_rng(len(name)).normal(size=shape) * 3
    return numpy_helper.from_array(values.astype(kind), name)


def _value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def convolutions() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], name="c1", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "b1", "m", "v"], ["n"], name="bn"),
        helper.make_node("Relu", ["n"], ["r"], name="r"),
        helper.make_node("MaxPool", ["r"], ["p"], name="p", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], name="f"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], name="fc", transB=1),
    ]
    variance = numpy_helper.from_array(np.ones(4, np.float32), "v")
    weights = [_weight("w1", 4, 1, 3, 3), _weight("b1", 4), _weight("s", 4), _weight("m", 4), variance]
    return _model(
        nodes,
        [_value("x", "batch", 1, 6, 6)],
        [_value("y", "batch", 3)],
        [*weights, _weight("w2", 3, 36), _weight("b2", 3)],
    )


def integers() -> onnx.ModelProto:
    scale, zero = numpy_helper.from_array(np.float32(0.05), "s"), numpy_helper.from_array(np.int8(0), "z")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["dw"]),
        helper.make_node("MatMul", ["d", "dw"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    return _model(
        nodes,
        [_value("x", "n", 8)],
        [_value("y", "n", 4)],
        [scale, zero, _weight("w", 8, 4, kind=np.int8), _weight("b", 4)],
    )


def tokens() -> onnx.ModelProto:
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"]),
        helper.make_node("LayerNormalization", ["e", "g", "b"], ["l"]),
        helper.make_node("MatMul", ["l", "w"], ["m"]),
        helper.make_node("Softmax", ["m"], ["p"], axis=-1),
        helper.make_node("ReduceMean", ["p", "axes"], ["y"]),
    ]
    weights = [_weight("table", 11, 4), _weight("g", 4), _weight("b", 4), _weight("w", 4, 5), axes]
    return _model(
        nodes, [_value("ids", "batch", "time", kind=TensorProto.INT64)], [_value("y", "batch", 1, 5)], weights
    )


def control() -> onnx.ModelProto:
    """A condition and a loop, each with graphs of its own."""
    then = helper.make_graph([helper.make_node("Relu", ["x"], ["t"])], "then", [], [_value("t", "n", 4)])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["e"])], "else", [], [_value("e", "n", 4)])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["a", "one"], ["b"])],
        "body",
        [_value("i", kind=TensorProto.INT64), _value("go", kind=TensorProto.BOOL), _value("a", "n", 4)],
        [_value("on", kind=TensorProto.BOOL), _value("b", "n", 4)],
    )
    nodes = [
        helper.make_node("If", ["true"], ["c"], then_branch=then, else_branch=other),
        helper.make_node("Loop", ["three", "true", "c"], ["l"], body=body),
        helper.make_node("Reshape", ["l", "shape"], ["r"]),
        helper.make_node("Slice", ["r", "from", "to"], ["s"]),
        helper.make_node("Pad", ["s", "pads"], ["p"]),
        helper.make_node("Expand", ["p", "large"], ["y"]),
    ]
    constants = {
        "true": np.array(True), "three": np.array(3, np.int64), "one": np.float32(1),
        "shape": np.array([-1, 4], np.int64),
        "from": np.array([0, 0], np.int64), "to": np.array([9, 3], np.int64), "pads": np.array([0, 1, 0, 1], np.int64),
        "large": np.array([1, 5], np.int64),
    }  # fmt: skip
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return _model(nodes, [_value("x", "n", 4)], [_value("y", "n", 5)], weights)


def recurrent() -> onnx.ModelProto:
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "b"], ["o", "h"], hidden_size=3),
        helper.make_node("Squeeze", ["h"], ["y"]),
        helper.make_node("Resize", ["o", "", "", "sizes"], ["z"], mode="nearest"),
    ]
    sizes = numpy_helper.from_array(np.array([2, 1, 2, 3], np.int64), "sizes")
    weights = [_weight("w", 1, 12, 4), _weight("r", 1, 12, 3), _weight("b", 1, 24), sizes]
    return _model(nodes, [_value("x", 2, 2, 4)], [_value("y", 2, 3), _value("z", 2, 1, 2, 3)], weights)


def halves() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Einsum", ["x", "f"], ["m"], equation="ij,jk->ik"),
        helper.make_node("TopK", ["m", "k"], ["y", "i"]),
        helper.make_node("ConstantOfShape", ["shape"], ["z"]),
        helper.make_node("ScatterND", ["z", "at", "what"], ["s"]),
    ]
    more = {"k": np.array([2], np.int64), "shape": np.array([3], np.int64), "at": np.array([[1]], np.int64)}
    weights = [numpy_helper.from_array(value, name) for name, value in more.items()]
    weights += [_weight("w", 4, 5, kind=np.float16), _weight("what", 1)]
    return _model(nodes, [_value("x", "n", 4)], [_value("y", "n", 2), _value("s", 3)], weights)


@cache
def models() -> tuple[onnx.ModelProto, ...]:
    """All of them; convolutions twice, the second with its weights in the file `weights.bin`."""
    outside = convolutions()
    for tensor in outside.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
        tensor.external_data.add(key="length", value=str(4 * int(np.prod(tensor.dims))))
    return convolutions(), integers(), tokens(), control(), recurrent(), halves(), outside


OUTSIDE_BYTES = np.random.default_rng(0).normal(size=200).astype(np.float32).tobytes()
