"""Which dimension an engine is free in, and what files of other shapes and weights become."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.engines import Batches, build_engine
from condensa_core.engines.acceptance import precision_of
from condensa_core.engines.open_batch import settled_batches
from condensa_core.errors import UsageError

WIDTH = 64


def product(*shapes, weights_in_int8=False, opset=21):
    """One product for each input shape, each with a weight of WIDTH x WIDTH."""
    nodes, ends, tensors = [], [], []
    levels = np.random.default_rng(0).integers(-127, 127, (WIDTH, WIDTH), dtype=np.int8)
    if weights_in_int8:
        tensors = [numpy_helper.from_array(levels, "q"), numpy_helper.from_array(np.float32(0.01), "s")]
        nodes = [helper.make_node("DequantizeLinear", ["q", "s"], ["w"], name="decode")]
    else:
        tensors = [numpy_helper.from_array(levels.astype(np.float32), "w")]
    for i, shape in enumerate(shapes):
        nodes.append(helper.make_node("MatMul", [f"x{i}", "w"], [f"y{i}"]))
        ends.append([helper.make_tensor_value_info(f"{end}{i}", TensorProto.FLOAT, shape) for end in "xy"])
    graph = helper.make_graph(nodes, "g", [x for x, _ in ends], [y for _, y in ends], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize(
    "shapes",
    [
        [["batch", WIDTH]],
        [[16, "batch", WIDTH]],  # the sequence first
        [[-1, WIDTH]],  # as old exporters write it
        [[None, WIDTH]],
        [["rows", WIDTH], ["lines", WIDTH]],
        [[4, WIDTH], ["N", WIDTH]],
    ],
)
def test_the_batch_is_the_dimension_called_so_or_the_first(shapes):
    assert settled_batches(product(*shapes), "m", None) == Batches(1, 8, 32)
    assert settled_batches(product(*shapes), "m", Batches(2, 2, 2)) == Batches(2, 2, 2)


@pytest.mark.parametrize("shape", [["time", "batch", WIDTH], ["batch", "time", WIDTH], [4, -1, WIDTH], [4, "n", "m"]])
def test_another_open_dimension_is_refused(shape):
    with pytest.raises(UsageError, match="open beside the batch"):
        settled_batches(product(shape), "m", None)


def test_fixed_shapes_are_not_asked_for_another_batch():
    assert settled_batches(product([4, WIDTH]), "m", None) is None
    assert settled_batches(product([4, WIDTH]), "m", Batches(4, 4, 4)) is None
    with pytest.raises(UsageError, match=r"m fixes its shapes \(4x64\), and is asked for batches 1 to 4"):
        settled_batches(product([4, WIDTH]), "m", Batches(1, 4, 4))


@pytest.mark.parametrize("shape", [[16, "batch", WIDTH], [-1, WIDTH]], ids=["sequence first", "minus one"])
def test_engines_are_built_for_batches_wherever_they_stand(tmp_path, shape):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed, or not made for this platform")
    onnx.save(product(shape), tmp_path / "m.onnx")

    engine = build_engine(tmp_path / "m.onnx", cache_dir=tmp_path, capabilities=[89], batches=Batches(1, 2, 4))

    assert engine.batches == Batches(1, 2, 4)  # TensorRT refuses a profile of sizes that the network fixes


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_in_int8_alone_are_computed_in_float_and_stay_small(tmp_path, precision, opset):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed, or not made for this platform")
    model = product(["batch", WIDTH], weights_in_int8=True, opset=opset)
    onnx.save(model, tmp_path / "m.onnx")

    engine = build_engine(tmp_path / "m.onnx", cache_dir=tmp_path / "cache", capabilities=[89], precision=precision)

    assert precision_of(model) == "fp32"
    assert engine.precision == precision
    assert engine.weights_bytes < 1.2 * WIDTH**2  # a byte each, not 2 or 4
    with pytest.raises(UsageError, match="no quantize nodes"):
        build_engine(tmp_path / "m.onnx", cache_dir=tmp_path / "cache", capabilities=[89], precision="int8")
