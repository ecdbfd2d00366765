"""Kernels find the modules that they come from, whatever the runtime fused and renamed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import BenchTarget
from condensa_core.bench.layers import Kernel, layer_times, layers_of
from condensa_core.bench.onnx_nodes import Node, Nodes, read_nodes


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory):
    """make(channels): two convolutions with activations and a head, named as the exporter names them."""
    folder = tmp_path_factory.mktemp("layers")

    def make(channels: int):
        draw = np.random.default_rng(0).standard_normal
        shapes = {
            "features.0.weight": (channels, 3, 3, 3), "features.0.bias": (channels,),
            "features.2.weight": (channels, channels, 3, 3), "features.2.bias": (channels,),
            "head.weight": (channels, 10),
        }  # fmt: skip
        pads = {"pads": [1, 1, 1, 1]}
        nodes = [
            helper.make_node("Conv", ["x", "features.0.weight", "features.0.bias"], ["c0"], name="node_conv", **pads),
            helper.make_node("Relu", ["c0"], ["relu"], name="node_relu"),
            helper.make_node("Conv", ["relu", "features.2.weight", "features.2.bias"], ["c1"], name="node_1", **pads),
            helper.make_node("Relu", ["c1"], ["relu_1"], name="node_relu_1"),
            helper.make_node("GlobalAveragePool", ["relu_1"], ["pool"], name="node_pool"),
            helper.make_node("Flatten", ["pool"], ["flat"], name="node_flat"),
            helper.make_node("MatMul", ["flat", "head.weight"], ["y"], name="node_linear"),
        ]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
            [numpy_helper.from_array(draw(shape).astype(np.float32), name) for name, shape in shapes.items()],
        )
        path = folder / f"{channels}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
        return path

    return make


def test_fused_convolutions_stand_under_their_modules_side_by_side(convolutions):
    files = {"wide": convolutions(64), "narrow": convolutions(16)}
    feeds = {name: {"x": np.zeros((2, 3, 16, 16), np.float32)} for name in files}

    layers = layer_times(files, BenchTarget(batch=2), feeds)

    found = {layer.layer: layer for layer in layers}
    assert {"features.0", "features.2", "head"} <= set(found)
    assert not {"node_relu", "node_relu_1", "node_conv", "node_1"} & set(found)  # the activations were fused
    assert layers[0].layer == "features.2"  # by far the most work
    inner = found["features.2"]
    assert inner.ratios["narrow"] == pytest.approx(inner.mean_s["wide"] / inner.mean_s["narrow"])
    assert inner.ratios["narrow"] > 2  # a sixteenth of the work
    assert inner.operators["wide"] == "Conv"
    times = [layer.mean_s["wide"] for layer in layers if "wide" in layer.mean_s]
    assert times == sorted(times, reverse=True)


def graph(*nodes: tuple[str, str, list[str], str], weights: dict[str, int], module: str | None = None) -> Nodes:
    return Nodes(tuple(Node(n, op, tuple(i), (o,), module) for n, op, i, o in nodes), weights)


def named(kernels: list[str], nodes: Nodes) -> list[str]:
    return layers_of([Kernel(name, "", 1.0) for name in kernels], nodes)


def test_quantized_weights_belong_to_the_module_they_were():
    nodes = graph(
        ("x.quantize", "QuantizeLinear", ["x", "x.step"], "x.rounded"),
        ("x.dequantize", "DequantizeLinear", ["x.rounded", "x.step"], "x.dequantized"),
        ("w.dequantize", "DequantizeLinear", ["body.fc.weight.3.levels", "body.fc.weight.3.scale"], "w"),
        ("product", "MatMul", ["x.dequantized", "w"], "y"),
        weights={"x.step": 1, "body.fc.weight.3.levels": 4096, "body.fc.weight.3.scale": 64},
    )

    assert named(["x.quantize", "product_token_4"], nodes) == ["x.quantize", "body.fc"]


def test_what_the_exporter_noted_counts_first():
    nodes = graph(("n", "MatMul", ["x", "val_3"], "y"), weights={"val_3": 16}, module="encoder.layer.1")

    assert named(["n"], nodes) == ["encoder.layer.1"]


def test_a_weight_without_a_name_belongs_with_the_bias_that_is_added_next():
    nodes = graph(
        ("p", "MatMul", ["x", "val_86"], "h"),
        ("a", "Add", ["h", "0.linear1.bias"], "y"),
        weights={"val_86": 4096, "0.linear1.bias": 64},
    )

    assert named(["p", "a"], nodes) == ["0.linear1", "0.linear1"]


@pytest.mark.parametrize("name", ["a.b.weight", "a.b.weight.float16", "a.b.weight_ih_l0", "a.b.bias.2.scale"])
def test_parameters_belong_to_modules_however_they_are_stored(name):
    nodes = graph(("n", "MatMul", ["x", name], "y"), weights={name: 16})

    assert named(["n"], nodes) == ["a.b"]


def test_kernels_that_come_from_nowhere_keep_their_names():
    nodes = graph(("n", "Relu", ["x"], "y"), weights={})

    assert named(["ReorderOutput", "n"], nodes) == ["ReorderOutput", "n"]


def test_nodes_are_read_with_their_modules(convolutions, tmp_path):
    model = onnx.load(convolutions(16))
    model.graph.node[0].metadata_props.add(
        key="pkg.torch.onnx.name_scopes", value="['', 'features', 'features.0', 'conv2d']"
    )
    onnx.save(model, tmp_path / "m.onnx")

    found = read_nodes(tmp_path / "m.onnx")

    assert [node.name for node in found.nodes] == [node.name for node in model.graph.node]
    assert [node.inputs for node in found.nodes] == [tuple(node.input) for node in model.graph.node]
    assert [node.module for node in found.nodes] == ["features.0"] + [None] * 6
    assert found.weights["features.2.weight"] == 16 * 16 * 9
