"""Layers of real files on ONNX Runtime: every product stands under its own module, and nothing counts twice."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import BenchTarget
from condensa_core.bench.kernels import profiled
from condensa_core.bench.layer_names import joined, places_of
from condensa_core.bench.layers import layer_times, side_by_side
from condensa_core.bench.onnx_nodes import read_nodes
from condensa_core.export.half_precision import cast_float16
from condensa_core.export.quantize_nodes import quantize_onnx

BOOL, FLOAT, INT64 = TensorProto.BOOL, TensorProto.FLOAT, TensorProto.INT64
PRODUCTS = {
    "MatMul",
    "Gemm",
    "FusedMatMul",
    "Conv",
    "LSTM",
    "MatMulIntegerToFloat",
    "QLinearMatMul",
    "QGemm",
    "QLinearConv",
}


def saved(path, nodes, x, y, weights):
    """A file with one input and one output, of these shapes."""
    ends = [helper.make_tensor_value_info(n, FLOAT, shape) for n, shape in (("x", x), (nodes[-1].output[0], y))]
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def normal(*shape):
    return (np.random.default_rng(sum(shape)).standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)


def profile_of(path, x):
    """The kernels of a file and their places."""

    def placed(kernels, graph):
        return places_of([(kernel.name, kernel.node) for kernel in kernels], graph, read_nodes(path))

    return profiled(path, BenchTarget(batch=x.shape[0]), {"x": x}, placed)


def products(kernels, places):
    """Of each module, or node without one, the kernels that multiply."""
    found: dict[str, list[str]] = {}
    for kernel, place in zip(kernels, places, strict=True):
        if kernel.operator in PRODUCTS:
            found.setdefault(place.module or f"node {place.own}", []).append(kernel.operator)
    return found


@pytest.fixture(scope="module")
def feed_forward(tmp_path_factory):
    """Two blocks `up`, GELU, `down` as the exporter writes them: transposed weights have lost their names."""
    weights: dict[str, np.ndarray] = {}
    nodes, value = [], "x"
    for block in range(2):
        norm, up, down = (f"blocks.{block}.{part}" for part in ("norm", "up", "down"))
        weights |= {f"{norm}.weight": normal(128) + 1, f"{norm}.bias": normal(128), f"val_{block}0": normal(128, 512)}
        weights |= {f"{up}.bias": normal(512), f"val_{block}1": normal(512, 128), f"{down}.bias": normal(128)}
        steps = [
            ("LayerNormalization", [value, f"{norm}.weight", f"{norm}.bias"], f"norm{block}"),
            ("MatMul", [f"norm{block}", f"val_{block}0"], f"product{block}0"),
            ("Add", [f"product{block}0", f"{up}.bias"], f"linear{block}0"),
            ("Gelu", [f"linear{block}0"], f"gelu{block}"),
            ("MatMul", [f"gelu{block}", f"val_{block}1"], f"product{block}1"),
            ("Add", [f"product{block}1", f"{down}.bias"], f"linear{block}1"),
            ("Add", [value, f"linear{block}1"], f"block{block}"),
        ]
        nodes += [helper.make_node(kind, read, [made], name=f"node_{made}") for kind, read, made in steps]
        value = f"block{block}"
    folder = tmp_path_factory.mktemp("transformer")
    return saved(folder / "float.onnx", nodes, ["batch", 8, 128], ["batch", 8, 128], weights)


def test_each_module_of_a_transformer_has_its_own_product_in_float_and_in_integers(feed_forward):
    integers = feed_forward.with_name("int8.onnx")
    quantize_onnx(feed_forward, integers, [torch.randn(4, 8, 128)], target="onnxruntime")
    x = normal(64, 8, 128)  # so many rows that no processor is done in the 5 us below which there are no ratios

    found = {name: profile_of(path, x) for name, path in (("float", feed_forward), ("int8", integers))}

    modules = {f"blocks.{block}.{part}" for block in range(2) for part in ("up", "down")}
    multiplied = {name: products(*of_file) for name, of_file in found.items()}
    assert multiplied["float"] == {module: ["MatMul"] for module in modules}
    assert set(multiplied["int8"]) == modules
    assert all(len(kernels) == 1 for kernels in multiplied["int8"].values())
    assert any(kernel.operator == "BiasGelu" for kernel in found["float"][0])  # what once took `down` to `up`
    layers = side_by_side(*({name: both[part] for name, both in found.items()} for part in (0, 1)))
    rows = {row.layer: row for row in layers if len(row.mean_s) == 2}
    for kernels, _ in found.values():  # all are of as many multiplications; profiles of a busy machine scatter
        seconds = [kernel.seconds for kernel in kernels if kernel.operator in PRODUCTS]
        assert max(seconds) < 4 * min(seconds)
    for row in (rows[module] for module in modules):
        assert row.ratios == {"int8": pytest.approx(row.mean_s["float"] / row.mean_s["int8"])}
    for name, (kernels, _) in found.items():
        in_rows = sum(row.mean_s.get(name, 0) for row in layers)
        assert in_rows == pytest.approx(sum(kernel.seconds for kernel in kernels))


def test_a_file_of_half_precision_that_is_computed_in_float_keeps_its_modules(feed_forward):
    half = feed_forward.with_name("half.onnx")
    onnx.save(cast_float16(onnx.load(feed_forward)), half)

    kernels, places = profile_of(half, normal(4, 8, 128))

    expected = {f"blocks.{block}.{part}": ["MatMul"] for block in range(2) for part in ("up", "down")}
    assert products(kernels, places) == expected
    assert any(kernel.operator == "Cast" for kernel in kernels)


def test_rows_of_two_files_are_of_the_same_modules_or_of_one_file(feed_forward):
    layers = layer_times(
        {"a": feed_forward, "b": feed_forward}, BenchTarget(), {n: {"x": normal(1, 8, 128)} for n in "ab"}
    )

    shared = {layer.layer for layer in layers if len(layer.mean_s) == 2}
    assert shared == {f"blocks.{block}.{part}" for block in range(2) for part in ("norm", "up", "down")}
    assert all(not layer.ratios for layer in layers if len(layer.mean_s) == 1)
    assert {layer.layer for layer in layers if set(layer.mean_s) == {"b"}} == {"node_block0", "node_block1"}


def lstm(path, *, folded):
    """Two layers of 32 units as the exporter writes them: gates put into ONNX's order by nodes, or that folded."""
    nodes, value = [helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2], name="node_steps")], "steps"
    weights: dict[str, np.ndarray] = {"cut": np.array([32, 64, 32]), "front": np.array([0]), "ones": np.array([1])}
    for layer in range(2):
        for part, columns in (("ih", 32), ("hh", 32)):
            name, prepared = f"lstm.weight_{part}_l{layer}", f"val_{layer}{part}"
            stored = normal(128, columns) + layer
            if folded:
                i, f, c, o = np.split(stored, 4)
                weights[prepared] = np.concatenate([i, o, f, c])[None]
                continue
            weights[name] = stored
            gates = [f"{prepared}_{gate}" for gate in "ifco"]
            nodes += [
                helper.make_node("Split", [name], gates, num_outputs=4, axis=0),
                helper.make_node("Concat", [gates[0], gates[3], gates[1], gates[2]], [f"{prepared}_iofc"], axis=0),
                helper.make_node("Unsqueeze", [f"{prepared}_iofc", "front"], [prepared]),
            ]
        read = [value, f"val_{layer}ih", f"val_{layer}hh"]
        nodes += [
            helper.make_node("LSTM", read, [f"wide{layer}"], hidden_size=32, name=f"node_LSTM_{3 - layer}"),
            helper.make_node("Squeeze", [f"wide{layer}", "ones"], [f"steps{layer}"], name=f"node_squeeze{layer}"),
        ]
        value = f"steps{layer}"
    return saved(path, nodes, ["batch", 6, 32], [6, "batch", 32], weights)


def test_layers_of_a_recurrent_module_are_known_where_folding_lost_their_names(tmp_path):
    files = {"named": lstm(tmp_path / "a.onnx", folded=False), "folded": lstm(tmp_path / "b.onnx", folded=True)}

    found = {name: profile_of(path, normal(2, 6, 32)) for name, path in files.items()}

    assert products(*found["named"]) == {"lstm.l0": ["LSTM"], "lstm.l1": ["LSTM"]}
    assert products(*found["folded"]) == {"node node_LSTM_3": ["LSTM"], "node node_LSTM_2": ["LSTM"]}
    together = joined({name: places for name, (_, places) in found.items()})
    assert products(found["folded"][0], together["folded"]) == {"lstm.l0": ["LSTM"], "lstm.l1": ["LSTM"]}


class Convolutions(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 16, 3, padding=1)
        self.a = torch.nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(16)
        self.b = torch.nn.Conv2d(16, 16, 3, padding=1)
        self.head = torch.nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.b(torch.relu(self.norm(self.a(x)))))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_a_convolution_keeps_its_module_where_batchnorm_was_folded_by_either_exporter(dynamo, tmp_path):
    path, x = tmp_path / "m.onnx", torch.zeros(1, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Convolutions().eval(), (x,), path, input_names=["x"], dynamo=dynamo, verbose=False)

    found = products(*profile_of(path, x.numpy()))

    assert found == {"stem": ["Conv"], "a": ["Conv"], "b": ["Conv"], "head": ["Gemm"]}


def chain(path, layers, *, named):
    ends = ["x", *(f"h{layer}" for layer in layers)]
    nodes = [
        helper.make_node("MatMul", [ends[i], f"{layer}.weight"], [ends[i + 1]], name=f"node{i}" if named else "")
        for i, layer in enumerate(layers)
    ]
    return saved(path, nodes, ["batch", 64], ["batch", 64], {f"{layer}.weight": normal(64, 64) for layer in layers})


@pytest.mark.parametrize("named", [True, False])
def test_modules_are_found_whatever_place_their_nodes_have(tmp_path, named):
    files = {
        "long": chain(tmp_path / "a.onnx", ["first", "second", "third"], named=named),
        "short": chain(tmp_path / "b.onnx", ["second", "third"], named=named),
    }

    layers = layer_times(files, BenchTarget(), {name: {"x": normal(1, 64)} for name in files})

    assert {layer.layer: set(layer.mean_s) for layer in layers} == {
        "first": {"long"}, "second": {"long", "short"}, "third": {"long", "short"},
    }  # fmt: skip


@pytest.mark.parametrize("named", [True, False])
def test_what_runs_in_a_loop_or_a_branch_is_counted_once(tmp_path, named):
    def node(kind, read, made, **rest):
        return helper.make_node(kind, read, [made], name=f"node_{made}" if named else "", **rest)

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    wide = ["batch", 64]
    body = helper.make_graph(
        [node("MatMul", ["before", "inside.weight"], "after"), node("Identity", ["go"], "on")], "body",
        [value(*each) for each in (("at", INT64, []), ("go", BOOL, []), ("before", FLOAT, wide))],
        [value("on", BOOL, []), value("after", FLOAT, wide)],
    )  # fmt: skip
    branch = helper.make_graph(
        [node("MatMul", ["looped", "branch.weight"], "taken")], "then", [], [value("taken", FLOAT, wide)]
    )
    other = helper.make_graph([node("Neg", ["looped"], "other")], "else", [], [value("other", FLOAT, wide)])
    nodes = [
        node("MatMul", ["x", "outside.weight"], "h"),
        node("Loop", ["times", "yes", "h"], "looped", body=body),
        node("ReduceSum", ["looped"], "sum", keepdims=0),
        node("Greater", ["sum", "low"], "holds"),
        node("If", ["holds"], "y", then_branch=branch, else_branch=other),
    ]
    weights = {f"{name}.weight": normal(64, 64) for name in ("inside", "outside", "branch")}
    weights |= {"inside.weight": 2 * weights["inside.weight"], "branch.weight": 3 * weights["branch.weight"]}
    weights |= {"times": np.int64(10), "yes": np.bool_(True), "low": np.float32(-1e30)}
    path = saved(tmp_path / "m.onnx", nodes, wide, wide, weights)

    kernels, places = profile_of(path, normal(1, 64))

    found = {place.module or place.own: kernel for kernel, place in zip(kernels, places, strict=True)}
    assert {name for name, kernel in found.items() if kernel.operator == "MatMul"} == {"outside", "inside", "branch"}
    assert (found["outside"].runs, found["inside"].runs, found["branch"].runs) == (1, 10, 1)
    (loop,) = (kernel for kernel in kernels if kernel.operator == "Loop")
    assert loop.runs == 1 and loop.node is not None and len(loop.node.inner) == 1
