"""What a profile says of kernels: each time once, by node, and no ratio from what is rounded away."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from condensa_core.bench.kernels import WARM_UP_RUNS, Kernel, kernels_of
from condensa_core.bench.layer_names import Place
from condensa_core.bench.layers import side_by_side
from condensa_core.bench.named_nodes import with_named_nodes
from condensa_core.bench.onnx_nodes import Node, Nodes, read_nodes


def node(name, operator, *inner):
    return Node(name, operator, (), (), None, tuple(inner))


def profile(*runs):
    """Events as ONNX Runtime writes them, in the order they end, of (name, operator, begin, duration in us)."""
    events = []
    for run in runs:
        events += [
            {"cat": "Node", "name": f"{name}_kernel_time", "ts": begun, "dur": taken, "args": {"op_name": operator}}
            for name, operator, begun, taken in run
        ]
        events.append({"cat": "Session", "name": "model_run", "ts": run[0][2], "dur": 99})
    return events


def test_what_runs_inside_is_taken_off_what_runs_it():
    inner = Nodes((node("step", "MatMul"), node("same", "If", Nodes((node("deep", "Relu"),), {}))), {})
    graph = Nodes((node("step", "MatMul"), node("loop", "Loop", inner), node("end", "Relu")), {})
    run = [
        ("step", "MatMul", 0, 10),
        ("step", "MatMul", 12, 4), ("deep", "Relu", 18, 3), ("same", "If", 17, 6),
        ("step", "MatMul", 24, 4), ("deep", "Relu", 30, 3), ("same", "If", 29, 6),
        ("loop", "Loop", 11, 30), ("end", "Relu", 41, 5),
    ]  # fmt: skip

    kernels = kernels_of(profile(*[run] * (WARM_UP_RUNS + 3)), graph)

    found = {(kernel.name, round(kernel.seconds * 1e6), kernel.runs) for kernel in kernels}
    assert found == {("step", 10, 1), ("step", 8, 2), ("deep", 6, 2), ("same", 6, 2), ("loop", 10, 1), ("end", 5, 1)}
    assert sum(kernel.seconds for kernel in kernels) == pytest.approx(45e-6)  # step, loop and end
    at = {(kernel.name, kernel.runs): kernel.node for kernel in kernels}
    assert at["step", 1] is graph.nodes[0] and at["step", 2] is inner.nodes[0]
    assert at["deep", 2] is inner.nodes[1].inner[0].nodes[0]


def test_a_kernel_that_few_inferences_run_has_the_time_of_the_usual_one():
    both = [("often", "Relu", 0, 5), ("rare", "MatMul", 6, 50)]
    runs = [both[:1]] * (WARM_UP_RUNS + 19) + [both]

    found = {kernel.name: kernel for kernel in kernels_of(profile(*runs), Nodes((node("often", "Relu"),), {}))}

    assert found["often"].seconds == pytest.approx(5e-6)
    assert (found["rare"].seconds, found["rare"].runs, found["rare"].node) == (0, 0.05, None)


@pytest.mark.parametrize(("first", "second", "ratio"), [(20e-6, 10e-6, 2), (20e-6, 9e-6, None), (0.0, 20e-6, None)])
def test_times_that_the_profile_rounds_have_no_ratio(first, second, ratio):
    kernels = {"a": [Kernel("k", "MatMul", first, 2, None)], "b": [Kernel("k", "MatMul", second, 2, None)]}

    (row,) = side_by_side(kernels, {name: [Place("fc", "k")] for name in kernels})

    assert row.ratios == ({"b": pytest.approx(ratio)} if ratio else {})
    assert row.mean_s == {"a": first, "b": second}


def test_nodes_of_one_name_in_two_files_are_two_rows():
    kernels = {name: [Kernel("MatMul_0", "MatMul", 20e-6, 1, None)] for name in "ab"}

    rows = side_by_side(kernels, {name: [Place(None, "MatMul_0")] for name in "ab"})

    assert [(row.layer, set(row.mean_s)) for row in rows] == [("MatMul_0", {"a"}), ("MatMul_0", {"b"})]


def test_nodes_without_a_name_get_one_of_their_own_and_nothing_else_changes(tmp_path):
    value = helper.make_tensor_value_info
    inner = [helper.make_node("Neg", ["x"], ["t"]), helper.make_node("Relu", ["t"], ["u"], name="kept")]
    branch = helper.make_graph(inner, "then", [], [value("u", TensorProto.FLOAT, None)])
    function = helper.make_function("mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [])
    nodes = [
        helper.make_node("If", ["go"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("LeakyRelu", ["y"], ["z"], alpha=0.5, name="y"),
        helper.make_node("Twice", ["z"], ["end"], domain="mine"),
    ]
    ends = [value("x", TensorProto.FLOAT, [2]), value("go", TensorProto.BOOL, [])]
    graph = helper.make_graph(nodes, "g", ends, [value("end", TensorProto.FLOAT, [2])])
    model = helper.make_model(graph, functions=[function])
    onnx.save(model, tmp_path / "m.onnx")

    copy = onnx.load_from_string(with_named_nodes(tmp_path / "m.onnx"))

    onnx.save(copy, tmp_path / "n.onnx")
    names = [found.name for found in read_nodes(tmp_path / "n.onnx").every_node()]
    assert names == ["t", "kept", "t_1", "kept", "y_1", "y", "end"]
    assert copy.functions[0].node[0].name
    assert with_named_nodes(tmp_path / "n.onnx") is None
    for unnamed in (0, 2):
        copy.graph.node[unnamed].ClearField("name")
    for attribute in copy.graph.node[0].attribute:
        attribute.g.node[0].ClearField("name")
    copy.functions[0].node[0].ClearField("name")
    assert copy == model


@pytest.mark.parametrize(
    ("note", "module"),
    [
        ("['', 'features', 'features.0', 'conv2d']", "features.0"), ("['', 'relu']", ""), ("['relu']", ""),
        ("features.0", None), ("[", None), ("7", None), ("(" * 500, None),
    ],
)  # fmt: skip
def test_nodes_are_read_with_what_the_exporter_noted_if_it_makes_sense(tmp_path, note, module):
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    nodes[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value=note)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])), tmp_path / "m.onnx")

    found = read_nodes(tmp_path / "m.onnx")

    assert [each.module for each in found.nodes] == [module, None]
    assert found.inputs == ("x",)
