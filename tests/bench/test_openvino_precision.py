"""OpenVINO computes in the floats of the file where the processor has them, else in float32, and says so."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from condensa_core.bench import BenchTarget, InputRequest, examine, open_runner, prepare
from condensa_core.bench.openvino_runner import _precision

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")

WIDTH = 64
ROUNDED = {  # a float32 as numbers of the type, in bytes
    TensorProto.FLOAT: lambda values: values.tobytes(),
    TensorProto.FLOAT16: lambda values: values.astype(np.float16).tobytes(),
    TensorProto.BFLOAT16: lambda values: (values.view(np.uint32) >> 16).astype(np.uint16).tobytes(),
}


@pytest.fixture
def product(tmp_path):
    """product(kind, ...): x times a weight of that float, then of the next; inputs and outputs are float32."""

    def make(*kinds):
        values = np.random.default_rng(0).standard_normal((WIDTH, WIDTH), dtype=np.float32)
        nodes, tensors, last = [], [], "x"
        for i, kind in enumerate(kinds):
            tensors.append(helper.make_tensor(f"w{i}", kind, values.shape, ROUNDED[kind](values), raw=True))
            nodes.append(helper.make_node("Cast", [last], [f"a{i}"], to=kind))
            nodes.append(helper.make_node("MatMul", [f"a{i}", f"w{i}"], [f"b{i}"]))
            last = f"b{i}"
        nodes.append(helper.make_node("Cast", [last], ["y"], to=TensorProto.FLOAT))
        ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", WIDTH]) for end in "xy"]
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
        path = tmp_path / "m.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path, values

    return make


@pytest.mark.parametrize(
    ("kinds", "capabilities", "precision"),
    [
        ([TensorProto.FLOAT], ["FP32", "BF16", "FP16"], "f32"),
        ([TensorProto.FLOAT16], ["FP32", "BF16", "FP16"], "f16"),
        ([TensorProto.FLOAT16], ["FP32", "BF16"], "f32"),
        ([TensorProto.BFLOAT16], ["FP32", "BF16"], "bf16"),
        ([TensorProto.BFLOAT16], ["FP32"], "f32"),
        ([TensorProto.FLOAT16, TensorProto.FLOAT], ["FP32", "BF16", "FP16"], "f32"),  # one setting for the whole file
    ],
)
def test_the_floats_are_the_files_where_the_processor_has_them(product, kinds, capabilities, precision):
    model = openvino.Core().read_model(product(*kinds)[0])

    assert _precision(model, capabilities) == precision


def test_a_float16_file_loses_no_digits_here_and_the_result_says_what_computed_it(product):
    path, weight = product(TensorProto.FLOAT16)
    feeds = prepare({"m": examine(path).inputs}, InputRequest(batch=8)).feeds["m"]

    with open_runner(BenchTarget("openvino", batch=8), path, feeds) as runner:
        runner.run()
        (y,) = runner.outputs().values()
        provider = runner.provider

    half = "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    exact = feeds["x"].astype(np.float16).astype(float) @ weight.astype(np.float16).astype(float)
    # sums of 64 products; in bfloat16, which some processors take unless told otherwise, off by a hundredth
    assert np.abs(y - exact).max() / np.abs(exact).max() < (2e-3 if half else 1e-3)
    assert provider == f"CPU, floats in {'float16' if half else 'float32'}"
