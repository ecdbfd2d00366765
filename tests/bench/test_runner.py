from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import BenchTarget, Feeds, InputRequest, Runner, compare, examine, open_runner, prepare
from condensa_core.errors import MissingRuntime, UsageError

CPU = BenchTarget()


def random_feeds(path: Path, batch: int = 1) -> Feeds:
    return prepare({"m": examine(path).inputs}, InputRequest(batch=batch)).feeds["m"]


def opened(path: Path, target: BenchTarget = CPU) -> Runner:
    return open_runner(target, path, random_feeds(path))


def test_thread_time_sees_all_the_work_of_one_thread(chain):
    with opened(chain(8, 512)) as runner:
        runner.run()

        process, thread = time.process_time_ns(), time.thread_time_ns()
        for _ in range(40):
            runner.run()
        thread, process = time.thread_time_ns() - thread, time.process_time_ns() - process

    assert thread >= 0.9 * process  # the rest is the interpreter's and the test runner's
    assert thread > 40 * 8 * 512 * 512 * 2 / 200e9 * 1e9  # no core multiplies more than 200 GFLOP/s: work was done here


def test_a_runner_says_who_computes_and_how_long_loading_took(chain):
    with opened(chain(2)) as runner:
        assert runner.provider == "CPUExecutionProvider"
        assert 0 < runner.load_s < 60


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("onnxruntim", "did you mean 'onnxruntime'"),
        ("abacus", "known: onnxruntime"),
        ("tensorrt-rxt", "did you mean 'tensorrt-rtx'"),
    ],
)
def test_unknown_runtimes_are_refused_with_a_suggestion(backend, message, chain):
    with pytest.raises(UsageError, match=message):
        opened(chain(2), BenchTarget(backend=backend))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"", "is empty"), (b"no onnx at all", "is not an ONNX model")]
)
def test_what_is_no_model_is_refused(content, message, tmp_path):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError, match=message) as caught:
        examine(path)

    assert str(path) in caught.value.message


def test_missing_runtime_names_the_extra(chain, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingRuntime, match=r"install the extra: pip install '\.\[cpu\]' from a checkout"):
        opened(chain(2))


def test_a_provider_that_is_not_there_is_an_error_and_no_fallback(chain):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider")

    with pytest.raises(MissingRuntime, match=r"no CUDAExecutionProvider.*pip install '\.\[gpu\]' from a checkout"):
        opened(chain(2), BenchTarget(device="cuda"))


def test_a_silent_fallback_is_an_error(chain, monkeypatch):
    # given a runtime that lists CUDA but starts the session on the CPU, as it does without a driver
    import onnxruntime

    session = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **kwargs: session)

    with pytest.raises(MissingRuntime, match="fell back to CPUExecutionProvider"):
        opened(chain(2), BenchTarget(device="cuda"))


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"threads": 0}, {"streams": 0}, {"device": "abacus"}])
def test_impossible_targets_are_refused(wrong):
    with pytest.raises(UsageError):
        BenchTarget(**wrong)


def test_outputs_are_what_the_timed_session_computed(chain):
    feeds = random_feeds(chain(3, 16), batch=2)

    with open_runner(CPU, chain(3, 16), feeds) as runner:
        runner.run()
        outputs = runner.outputs()

    weights = [numpy_helper.to_array(w) for w in onnx.load(chain(3, 16)).graph.initializer]
    expected = feeds["x"] @ weights[0] @ weights[1] @ weights[2]
    assert list(outputs) == ["y"]
    np.testing.assert_allclose(outputs["y"], expected, rtol=1e-4, atol=1e-4)  # sums of 16 products in another order


def test_a_model_that_loads_and_cannot_run_is_refused(tmp_path):
    # given an index beyond what there is to pick from, which no loader notices
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
        [numpy_helper.from_array(np.zeros(1, np.float32), "w")],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)

    with pytest.raises(UsageError, match=r"loads .* and cannot run it: "):
        compare({"m": path}, BenchTarget(batch=64))
