"""A float32 file that computes in half precision."""

import importlib
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.export import compare_outputs
from condensa_core.export.half_precision import cast_float16


def test_the_cast_computes_the_same_to_half_precision(exported, tmp_path):
    model = onnx.load(exported.file.path)

    cast = cast_float16(model)

    kinds = {tensor.data_type for tensor in cast.graph.initializer}
    assert TensorProto.FLOAT16 in kinds and TensorProto.FLOAT not in kinds
    assert [v.type for v in cast.graph.input] == [v.type for v in model.graph.input]
    assert [v.type for v in cast.graph.output] == [v.type for v in model.graph.output]
    onnx.save(cast, tmp_path / "half.onnx")
    # 2^-11 a rounding, a few dozen of them in a row; exactly equal would mean that nothing was cast
    parity = compare_outputs(exported.file.path, tmp_path / "half.onnx", tolerance=5e-3)
    assert parity.ok and parity.max_rel > 0


def test_the_model_is_left_alone_and_imports_go_on_as_before(exported):
    model = onnx.load(exported.file.path)
    before = model.SerializeToString(deterministic=True)
    paths = list(sys.path)

    cast_float16(model)

    assert model.SerializeToString(deterministic=True) == before
    assert sys.path[: len(paths)] == paths  # what the caster adds comes last
    assert importlib.import_module("onnxruntime.quantization")


@pytest.mark.parametrize("value", [1e6, -1e6])
def test_weights_beyond_the_range_end_at_it(value):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy")
    weight = numpy_helper.from_array(np.diag([1, value]).astype(np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

    (stored,) = cast_float16(model).graph.initializer

    assert float(numpy_helper.to_array(stored)[1, 1]) == np.copysign(65504, value)
