"""A session that computes something else than its file is found out, and a sound one is not accused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from saturating import SaturatingRunner
from sklearn.datasets import load_digits

from condensa_core.bench import (
    BenchTarget,
    InputRequest,
    Parity,
    Witness,
    examine,
    judge_outputs,
    open_runner,
    parity_batches,
    prepare,
)
from condensa_core.bench.difference import difference, other_shapes
from condensa_core.export.parity import deviation
from condensa_core.export.quantize_nodes import quantize_onnx


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return (found.data / 8 - 1).astype(np.float32), found.target


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A network for digits, trained, as a float file: 64-128-128-10."""
    x, y = (torch.from_numpy(part) for part in digits)
    torch.manual_seed(0)
    sizes = (64, 128, 128, 10)
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
    net = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert float((net(x).argmax(1) == y).float().mean()) > 0.95

    nodes, weights, at = [], [], "x"
    for i, layer in enumerate(layers):
        weights.append(numpy_helper.from_array(np.ascontiguousarray(layer.weight.detach().numpy().T), f"w{i}"))
        weights.append(numpy_helper.from_array(layer.bias.detach().numpy(), f"b{i}"))
        nodes.append(helper.make_node("MatMul", [at, f"w{i}"], [f"p{i}"], name=f"product{i}"))
        out = "y" if i == 2 else f"s{i}"
        nodes.append(helper.make_node("Add", [f"p{i}", f"b{i}"], [out], name=f"sum{i}"))
        if i < 2:
            nodes.append(helper.make_node("Relu", [out], [f"h{i}"], name=f"relu{i}"))
        at = f"h{i}"
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    path = tmp_path_factory.mktemp("digits") / "float.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def quantized(trained, digits, target, reduce_range=None):
    path = trained.with_name(f"{target}-{reduce_range}.onnx")
    batches = [torch.from_numpy(digits[0][:256])]
    quantize_onnx(trained, path, batches, target=target, reduce_range=reduce_range)
    return path


def judged(path, runner, x, **settings):
    batches = [{"m": {"x": x[i : i + 64]}} for i in range(0, 512, 64)]
    witness = Witness({"m": examine(path)}, batches, "cpu", **settings)
    witness("m", runner)
    return witness.parity["m"]


def test_saturation_of_signed_bytes_is_caught_on_a_trained_network(trained, digits):
    path = quantized(trained, digits, "tensorrt")  # signed activations, full bytes

    parity = judged(path, SaturatingRunner(path), digits[0])

    assert parity.ok is False
    assert parity.difference.max_rel > 0.1
    assert parity.difference.finite
    assert parity.difference.samples == 512


def taking(trained, gain, offset):
    """The same network, of raw inputs that it is to multiply and shift itself."""
    model = onnx.load(trained)
    weight, bias = (next(t for t in model.graph.initializer if t.name == name) for name in ("w0", "b0"))
    w, b = numpy_helper.to_array(weight), numpy_helper.to_array(bias)
    weight.CopyFrom(numpy_helper.from_array(w * np.float32(gain), "w0"))
    bias.CopyFrom(numpy_helper.from_array((b + offset * w.sum(axis=0)).astype(np.float32), "b0"))
    path = trained.with_name(f"gain-{gain}.onnx")
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("largest", [2, 16, 255], ids=["-1 to 1", "0 to 16", "pixels"])
def test_what_bench_draws_shows_saturation_whatever_the_scale_of_inputs(trained, digits, largest):
    low = -1 if largest == 2 else 0
    raw = (digits[0] + 1) / 2 * largest + low
    path = quantized(taking(trained, 2 / largest, -1 - 2 * low / largest), (raw, digits[1]), "tensorrt")
    files = {"m": examine(path)}
    request = InputRequest(batch=8)
    timed = prepare({"m": files["m"].inputs}, request)
    witness = Witness(files, parity_batches(files, request, timed), "cpu")

    witness("m", SaturatingRunner(path))
    saturating = witness.parity["m"]
    with open_runner(BenchTarget("openvino", batch=8), path, timed.feeds["m"]) as runner:
        witness("m", runner)

    assert saturating.ok is False
    assert saturating.difference.max_rel > 0.1
    assert witness.parity["m"].ok


@pytest.mark.parametrize("reduce_range", [True, None])
def test_the_quantizer_of_this_project_gives_no_file_that_saturates_here(trained, digits, reduce_range):
    path = quantized(trained, digits, "onnxruntime", reduce_range)
    feeds = {"x": digits[0][:64]}

    with open_runner(BenchTarget(batch=64), path, feeds) as runner:
        here = judged(path, runner, digits[0])

    assert here.ok
    assert here.tolerance == 0.05
    if reduce_range:  # made for processors without VNNI: 7 bits leave room for the pairs
        assert judged(path, SaturatingRunner(path), digits[0]).ok


def test_a_sound_session_of_signed_bytes_is_not_accused(trained, digits):
    path = quantized(trained, digits, "tensorrt")
    assert b"QuantizeLinear" in path.read_bytes()

    with open_runner(BenchTarget("openvino", batch=64), path, {"x": digits[0][:64]}) as runner:
        parity = judged(path, runner, digits[0])

    assert parity.ok


class Shifted:
    """A session that adds something to its outputs."""

    def __init__(self, runner, shift):
        self.runner, self.shift = runner, shift
        self.feed, self.run = runner.feed, runner.run

    def outputs(self):
        return {name: y + np.float32(self.shift) for name, y in self.runner.outputs().items()}


@pytest.mark.parametrize(
    ("shift", "settings", "ok"),
    [(0.0, {}, True), (0.02, {}, False), (0.02, {"max_error": 0.1}, True), (np.nan, {"max_error": 0.1}, False)],
)
def test_a_session_off_by_more_than_floats_round_is_caught(trained, digits, shift, settings, ok):
    with open_runner(BenchTarget(batch=64), trained, {"x": digits[0][:64]}) as runner:
        parity = judged(trained, Shifted(runner, shift), digits[0], **settings)

    assert parity.ok is ok
    if shift == 0.02:
        assert parity.difference.max_abs == pytest.approx(0.02, rel=0.01)


def test_a_base_is_another_reference_which_only_a_given_bound_judges(chain):
    files = {"a": examine(chain(4)), "b": examine(chain(5))}
    request = InputRequest(batch=4)
    batches = parity_batches(files, request, prepare({n: f.inputs for n, f in files.items()}, request))

    for bound, verdict in ((None, None), (1e-3, False), (1e9, True)):
        witness = Witness(files, batches, "cpu", base="a", max_error=bound)
        for name, file in files.items():
            with open_runner(BenchTarget(batch=4), file.path, batches[0][name]) as runner:
                witness(name, runner)
        assert witness.to_base["b"].ok is verdict
        assert witness.parity["a"].ok and witness.parity["b"].ok
        assert "a" not in witness.to_base
        assert witness.to_base["b"].difference.max_rel > 0.1


def test_the_batches_are_seeded_and_different_and_the_timed_one_is_first(chain):
    files = {"m": examine(chain(4))}
    request = InputRequest(batch=8)
    timed = prepare({"m": files["m"].inputs}, request)

    batches = parity_batches(files, request, timed)
    again = parity_batches(files, request, timed)

    assert len(batches) == 4  # 32 samples
    assert batches[0]["m"]["x"] is timed.feeds["m"]["x"]
    assert len({batch["m"]["x"].tobytes() for batch in batches}) == 4
    for one, other in zip(batches, again, strict=True):
        np.testing.assert_array_equal(one["m"]["x"], other["m"]["x"])


@pytest.mark.parametrize(("most_bytes", "count"), [(1 << 28, 32), (192 * 4 * 5, 5), (1, 2)])
def test_there_are_as_many_batches_as_samples_take_and_memory_allows(chain, monkeypatch, most_bytes, count):
    files = {"m": examine(chain(4))}
    request = InputRequest(batch=1)
    monkeypatch.setattr("condensa_core.bench.parity.MOST_BYTES", most_bytes)

    assert len(parity_batches(files, request, prepare({"m": files["m"].inputs}, request))) == count


def test_a_session_keeps_its_inputs(chain):
    files = {"m": examine(chain(4))}
    request = InputRequest(batch=2)
    timed = prepare({"m": files["m"].inputs}, request)
    with open_runner(BenchTarget(batch=2), files["m"].path, timed.feeds["m"]) as runner:
        runner.run()
        before = runner.outputs()["y"]

        Witness(files, parity_batches(files, request, timed), "cpu")("m", runner)

        runner.run()
        np.testing.assert_array_equal(runner.outputs()["y"], before)


def test_the_figures_are_those_of_the_exports_own_comparison():
    generator = np.random.default_rng(0)
    ours = [generator.standard_normal((6, 5)).astype(np.float32) for _ in range(3)]
    theirs = [a + 0.1 * generator.standard_normal((6, 5)).astype(np.float32) for a in ours]

    found = difference([{"y": a} for a in ours], [{"z": b} for b in theirs])

    a, b = torch.from_numpy(np.stack(ours)), torch.from_numpy(np.stack(theirs))
    batches = [torch.full((6,), i) for i in range(3)]
    expected = deviation(lambda i: a[i[0]], lambda i: b[i[0]], batches)
    assert found.max_abs == pytest.approx(expected.max_abs)
    assert found.max_rel == pytest.approx(expected.max_abs / (float(a.max() - a.min()) / 2))
    assert found.cosine == pytest.approx(expected.cosine)
    assert found.top1_agreement == expected.top1_agreement
    assert (found.samples, found.finite, found.paired_by) == (18, True, "position")


def test_a_small_output_does_not_hide_behind_a_large_one():
    reference = {"large": np.array([[1000.0]]), "small": np.array([[1.0]])}
    other = {"large": np.array([[1000.0]]), "small": np.array([[1.5]])}

    assert difference([reference], [other]).max_rel == 0.5


def test_outputs_of_other_shapes_are_a_failed_parity_that_names_them():
    right, found = [{"y": np.zeros((2, 3)), "z": np.zeros(1)}], [{"z": np.zeros(1), "y": np.zeros((2, 4))}]

    assert other_shapes(right, found) == "output y has another shape: [2, 3] became [2, 4]"
    assert other_shapes(right, [{"y": np.zeros((2, 3))}]) == "2 outputs became 1"
    parity = Parity(None, 0.1, other_shapes(right, found), failed=True)
    assert parity.ok is False
    (verdict,) = judge_outputs("parity", "m", "its file", parity, allow=True)
    assert (verdict.passed, verdict.allowed) == (False, True)


def test_without_a_value_nothing_is_compared():
    assert difference([], []) is None
    assert difference([{"y": np.zeros((0, 2))}], [{"y": np.zeros((0, 2))}]) is None


def test_zeros_against_something_is_infinitely_far_and_json_says_null():
    found = difference([{"y": np.zeros((1, 2))}], [{"y": np.ones((1, 2))}])

    assert found.max_rel == np.inf
    assert found.to_json()["max_rel"] is None
    assert not found.within(1e9)


def test_outputs_on_other_inputs_are_not_compared(chain):
    files = {"a": examine(chain(4)), "b": examine(chain(4))}
    batches = [{"a": {"x": np.zeros((2, 192), np.float32)}, "b": {"x": np.ones((2, 192), np.float32)}}]
    witness = Witness(files, batches, "cpu", base="a", max_error=1.0)

    with open_runner(BenchTarget(batch=2), files["b"].path, batches[0]["b"]) as runner:
        witness("b", runner)

    assert witness.to_base["b"].difference is None
    assert witness.to_base["b"].problem == "b takes other inputs than a"
    (verdict,) = judge_outputs("max-error", "b", "a", witness.to_base["b"], allow=False)
    assert not verdict.passed  # a bound that cannot be judged does not hold


def test_an_allowed_mismatch_is_a_warning():
    far = Parity(difference([{"y": np.ones((1, 2))}], [{"y": np.zeros((1, 2))}]), 0.1)

    (failed,) = judge_outputs("parity", "m", "its file", far, allow=False)
    (allowed,) = judge_outputs("parity", "m", "its file", far, allow=True)

    assert (failed.passed, failed.allowed, failed.line[:4]) == (False, False, "FAIL")
    assert (allowed.passed, allowed.allowed, allowed.line[:4]) == (False, True, "warn")
