"""Outputs of every kind are read, timed and judged: strings, sequences, maps, small floats, none, random ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import (
    BenchTarget,
    InputRequest,
    Witness,
    examine,
    judge_outputs,
    open_runner,
    parity_batches,
    prepare,
)
from condensa_core.errors import UsageError

FLOATS = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])


def written(path, nodes, outputs, weights=(), domains=()):
    graph = helper.make_graph(nodes, "g", [FLOATS], outputs, [numpy_helper.from_array(*pair) for pair in weights])
    versions = [helper.make_opsetid("", 20), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path.write_bytes(helper.make_model(graph, opset_imports=versions, ir_version=10).SerializeToString())
    return path


def tensor(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, shape)


def classifier(path):
    """Scores and a label in words, as classifiers of sklearn are exported."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["i"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "i"], ["label"]),
        helper.make_node("Softmax", ["x"], ["p"]),
    ]
    names = np.array(["cat", "dog", "cow", "pig"], dtype=object)
    outputs = [tensor("label", TensorProto.STRING, "batch"), tensor("p", TensorProto.FLOAT, "batch", 4)]
    return written(path, nodes, outputs, [(names, "names")])


def sequence(path):
    y = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    return written(path, [helper.make_node("SplitToSequence", ["x"], ["y"], axis=1)], [y])


def mapping(path):
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    z = helper.make_value_info("z", helper.make_sequence_type_proto(kind))
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"]),
        helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3]),
    ]
    return written(path, nodes, [z], domains=["ai.onnx.ml"])


def cast(kind):
    def make(path):
        outputs = [tensor("y", kind, "batch", 4), tensor("z", TensorProto.FLOAT, "batch", 4)]
        nodes = [helper.make_node("Cast", ["x"], ["y"], to=kind), helper.make_node("Neg", ["x"], ["z"])]
        return written(path, nodes, outputs)

    return make


def judged(path, runtime="onnxruntime", **settings):
    files = {"m": examine(path)}
    request = InputRequest(batch=4)
    timed = prepare({"m": files["m"].inputs}, request)
    witness = Witness(files, parity_batches(files, request, timed), "cpu", **settings)
    with open_runner(BenchTarget(runtime, batch=4), path, timed.feeds["m"]) as runner:
        runner.run()
        witness("m", runner)
        for _ in range(3):
            runner.run()
        return witness.parity["m"], runner.outputs(), timed.feeds["m"]["x"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_labels_in_words_are_read_and_judged(tmp_path, runtime):
    parity, outputs, x = judged(classifier(tmp_path / "m.onnx"), runtime)

    assert parity.ok and parity.difference.unequal == 0
    assert outputs["label"].tolist() == [("cat", "dog", "cow", "pig")[i] for i in x.argmax(1)]


def test_a_sequence_is_not_longer_after_many_runs(tmp_path):
    parity, outputs, x = judged(sequence(tmp_path / "m.onnx"))

    assert parity.ok and parity.difference.max_abs == 0
    np.testing.assert_array_equal(np.concatenate(list(outputs.values()), axis=1), x)


def test_maps_are_taken_apart(tmp_path):
    parity, outputs, x = judged(mapping(tmp_path / "m.onnx"))

    assert parity.ok
    exact = torch.softmax(torch.from_numpy(x), 1).numpy()
    assert outputs["z[2][3]"] == pytest.approx(exact[2, 3], rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "dtype", "runtime"),
    [
        (TensorProto.BFLOAT16, torch.bfloat16, "onnxruntime"),
        (TensorProto.BFLOAT16, torch.bfloat16, "openvino"),
        (TensorProto.FLOAT8E4M3FN, torch.float8_e4m3fn, "onnxruntime"),  # OpenVINO 2026.4 rounds otherwise
        (TensorProto.FLOAT8E5M2, torch.float8_e5m2, "onnxruntime"),
        (TensorProto.FLOAT8E5M2, torch.float8_e5m2, "openvino"),
    ],
)
def test_small_floats_are_read_as_their_values(tmp_path, kind, dtype, runtime):
    parity, outputs, x = judged(cast(kind)(tmp_path / "m.onnx"), runtime)

    assert parity.ok
    np.testing.assert_array_equal(outputs["y"], torch.from_numpy(x).to(dtype).float().numpy())
    np.testing.assert_array_equal(outputs["z"], -x)


def test_bfloat16_of_torch_is_read(tmp_path):
    class Halving(torch.nn.Module):
        def forward(self, x):
            return x.to(torch.bfloat16) / 2

    torch.export.save(torch.export.export(Halving().eval(), (torch.randn(4, 4),)), tmp_path / "m.pt2")

    parity, outputs, x = judged(tmp_path / "m.pt2", "torch")

    assert parity.ok
    np.testing.assert_array_equal(outputs["output 0"], (torch.from_numpy(x).bfloat16() / 2).float().numpy())


def hits(path):
    """The positions of values below -100: none in what is drawn, as detectors find nothing in noise."""
    nodes = [helper.make_node("Less", ["x", "c"], ["m"]), helper.make_node("NonZero", ["m"], ["y"])]
    return written(path, nodes, [tensor("y", TensorProto.INT64, 2, "hits")], [(np.float32(-100), "c")])


def noisy(path, **seed):
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["r"], **seed),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return written(path, nodes, [tensor("y", TensorProto.FLOAT, "batch", 4)])


@pytest.mark.parametrize(
    ("make", "seed", "problem"),
    [(hits, {}, "outputs are empty"), (noisy, {}, "draws random numbers"), (noisy, {"seed": 1.0}, "draws random")],
)
def test_what_cannot_be_judged_fails_only_a_bound_that_was_asked_for(tmp_path, make, seed, problem):
    path = make(tmp_path / "m.onnx", **seed)

    for asked, allow, allowed in ((None, False, True), (1e-3, False, False), (1e-3, True, False)):
        parity, _, _ = judged(path, max_error=asked)
        (verdict,) = judge_outputs("parity", "m", "its file", parity, allow=allow)
        assert parity.ok is None and problem in parity.problem
        assert (verdict.passed, verdict.allowed) == (False, allowed)
        assert problem in verdict.line


def test_a_batch_that_a_session_does_not_run_is_a_failed_parity(tmp_path):
    class Broken:
        runtime = "some runtime"

        def feed(self, feeds):
            self.fed = feeds

        def run(self):
            raise RuntimeError("no kernel\nand a trace")

    files = {"m": examine(cast(TensorProto.FLOAT16)(tmp_path / "m.onnx"))}
    batches = [{"m": {"x": np.ones((2, 4), np.float32)}}]
    witness = Witness(files, batches, "cpu")

    witness("m", Broken())

    assert witness.parity["m"].ok is False
    assert witness.parity["m"].problem == "some runtime does not run one of its batches: no kernel"


def test_openvino_computes_on_no_input_that_was_not_given(chain):
    with pytest.raises(UsageError, match="nothing was given for: x"):
        open_runner(BenchTarget("openvino"), chain(1, 4, 1), {})
