from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper

from condensa_core.bench import BenchTarget, open_runner
from condensa_core.bench.onnxruntime_runner import random_input
from condensa_core.errors import MissingRuntime, UsageError
from condensa_core.randomness import Seed

CPU = BenchTarget()


def test_thread_time_sees_all_the_work_of_one_thread(chain):
    with open_runner(CPU, chain(8, 512)) as runner:
        runner.run()

        process, thread = time.process_time_ns(), time.thread_time_ns()
        for _ in range(40):
            runner.run()
        thread, process = time.thread_time_ns() - thread, time.process_time_ns() - process

    assert thread >= 0.9 * process  # the rest is the interpreter's and the test runner's
    assert thread > 40 * 8 * 512 * 512 * 2 / 200e9 * 1e9  # no core multiplies more than 200 GFLOP/s: work was done here


def test_a_runner_says_who_computes_and_how_long_loading_took(chain):
    with open_runner(CPU, chain(2)) as runner:
        assert runner.provider == "CPUExecutionProvider"
        assert 0 < runner.load_s < 60


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("onnxruntim", "did you mean 'onnxruntime'"),
        ("abacus", "known: onnxruntime"),
        ("tensorrt", "not available in this version"),
    ],
)
def test_unknown_runtimes_are_refused_with_a_suggestion(backend, message, chain):
    with pytest.raises(UsageError, match=message):
        open_runner(BenchTarget(backend=backend), chain(2))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"", "is empty"), (b"no onnx at all", "cannot load")]
)
def test_what_is_no_model_is_refused(content, message, tmp_path):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError, match=message) as caught:
        open_runner(CPU, path)

    assert str(path) in caught.value.message


def test_weights_outside_the_folder_are_refused(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    (tmp_path / "models").mkdir()
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../secret.bin")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "models" / "m.onnx"
    path.write_bytes(model.SerializeToString())

    with pytest.raises(UsageError, match="cannot load"):
        open_runner(CPU, path)


def test_missing_runtime_names_the_extra(chain, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingRuntime, match=r"install the extra: pip install '\.\[cpu\]' from a checkout"):
        open_runner(CPU, chain(2))


def test_a_provider_that_is_not_there_is_an_error_and_no_fallback(chain):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider")

    with pytest.raises(MissingRuntime, match=r"no CUDAExecutionProvider.*pip install '\.\[gpu\]' from a checkout"):
        open_runner(BenchTarget(device="cuda"), chain(2))


def test_a_silent_fallback_is_an_error(chain, monkeypatch):
    # given a runtime that lists CUDA but starts the session on the CPU, as it does without a driver
    import onnxruntime

    session = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **kwargs: session)

    with pytest.raises(MissingRuntime, match="fell back to CPUExecutionProvider"):
        open_runner(BenchTarget(device="cuda"), chain(2))


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"threads": 0}, {"device": "abacus"}])
def test_impossible_targets_are_refused(wrong):
    with pytest.raises(UsageError):
        BenchTarget(**wrong)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("tensor(float)", np.float32), ("tensor(int64)", np.int64), ("tensor(bool)", np.bool_)]
)
def test_inputs_follow_the_signature(kind, dtype):
    array = random_input("x", kind, ["batch", 3, 5], 4, Seed(1).numpy_generator("inputs"))

    assert array.shape == (4, 3, 5)
    assert array.dtype == dtype
    assert array.min() != array.max()
    np.testing.assert_array_equal(array, random_input("x", kind, ["batch", 3, 5], 4, Seed(1).numpy_generator("inputs")))


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("tensor(float)", [2, 3], "fixes the batch of input 'x' at 2, asked was 4"),
        ("tensor(float)", ["batch", "time"], "leaves dimension 'time' open"),
        ("tensor(float)", ["batch", None], "leaves dimension None open"),
        ("tensor(string)", ["batch"], "no random input"),
    ],
)
def test_inputs_that_cannot_be_made_up_are_refused(kind, shape, message):
    with pytest.raises(UsageError, match=message):
        random_input("x", kind, shape, 4, np.random.default_rng(0))


def test_a_file_with_another_batch_is_refused(chain):
    with pytest.raises(UsageError, match="fixes the batch"):
        open_runner(BenchTarget(batch=2), chain(2, batch=3))
