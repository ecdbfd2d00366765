"""What a file computes in decides what its sessions may be off by."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import examine
from condensa_core.bench.arithmetic import arithmetic_of, rounds_around_zero, tolerance_of


def written(path, nodes, weights, kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, ["batch", 4])],
        [helper.make_tensor_value_info("y", kind, ["batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return examine(path)


HALF = np.eye(4, dtype=np.float16)
PRODUCT = helper.make_node("MatMul", ["x", "w"], ["y"])


@pytest.mark.parametrize(
    ("nodes", "weights", "kind", "arithmetic"),
    [
        ([PRODUCT], {"w": np.eye(4, dtype=np.float32)}, TensorProto.FLOAT, "float32"),
        ([PRODUCT], {"w": HALF}, TensorProto.FLOAT16, "float16"),
        ([helper.make_node("Cast", ["h"], ["w"], to=1), PRODUCT], {"h": HALF}, TensorProto.FLOAT, "float32"),
        (
            [
                helper.make_node("Cast", ["x"], ["a"], to=10),
                helper.make_node("MatMul", ["a", "h"], ["b"]),
                helper.make_node("Cast", ["b"], ["y"], to=1),
            ],
            {"h": HALF},
            TensorProto.FLOAT,
            "float16",
        ),
        (
            [helper.make_node("DequantizeLinear", ["q", "s"], ["w"]), PRODUCT],
            {"q": np.eye(4, dtype=np.int8), "s": np.float32(1)},
            TensorProto.FLOAT,
            "float32",  # integers that are only stored
        ),
        (
            [
                helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
                helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
            ],
            {"s": np.float32(1)},
            TensorProto.FLOAT,
            "integer",
        ),
    ],
)  # fmt: skip
def test_arithmetic_is_that_of_the_nodes_not_of_the_storage(tmp_path, nodes, weights, kind, arithmetic):
    weights = {name: np.asarray(array) for name, array in weights.items()}

    assert arithmetic_of(written(tmp_path / "m.onnx", nodes, weights, kind)) == arithmetic


QUANTIZED = [
    helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
    helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
]


@pytest.mark.parametrize("within", ["a branch", "a function"])
def test_arithmetic_is_that_of_all_graphs(tmp_path, within):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy")
    scale = numpy_helper.from_array(np.float32(1), "s")
    functions, nodes = [], []
    if within == "a function":
        functions = [helper.make_function("own", "Round", ["x", "s"], ["y"], QUANTIZED, [helper.make_opsetid("", 20)])]
        nodes = [helper.make_node("Round", ["x", "s"], ["y"], domain="own")]
    else:
        branches = {name: helper.make_graph(QUANTIZED, name, [], [y]) for name in ("then_branch", "else_branch")}
        truth = numpy_helper.from_array(np.array(True), "t")
        nodes = [helper.make_node("Constant", [], ["t"], value=truth), helper.make_node("If", ["t"], ["y"], **branches)]
    graph = helper.make_graph(nodes, "g", [x], [y], [scale])
    versions = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=versions, functions=functions), tmp_path / "m.onnx")

    assert arithmetic_of(examine(tmp_path / "m.onnx")) == "integer"


def test_gpus_multiply_floats_with_fewer_digits():
    assert tolerance_of("float32", "cuda") > tolerance_of("float32", "cpu")
    assert tolerance_of("integer", "cuda") == tolerance_of("integer", "cpu")


@pytest.mark.parametrize(
    ("zero", "around"), [(np.int8(0), True), (np.uint8(128), False), (None, False)], ids=["signed", "unsigned", "none"]
)
def test_bytes_around_zero_are_told_by_the_zero_point_of_what_rounds(zero, around, tmp_path):
    """Weights are signed in any form; what the activations are rounded to makes the difference."""
    held = [] if zero is None else ["z"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", *held], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", *held], ["a"]),
        helper.make_node("DequantizeLinear", ["levels", "s", "none"], ["w"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    weights = {"s": np.float32(1), "levels": np.eye(4, dtype=np.int8), "none": np.int8(0)}

    file = written(tmp_path / "m.onnx", nodes, weights | ({} if zero is None else {"z": np.array(zero)}))

    assert rounds_around_zero(file) == around
