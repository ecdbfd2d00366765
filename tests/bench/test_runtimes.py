"""Every runtime that is installed computes what numpy computes, on the inputs it is given."""

from __future__ import annotations

import shutil
import sys
import time
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from condensa_core.bench import BenchTarget, InputRequest, compare, examine, fitting, open_runner, prepare
from condensa_core.bench.onnxruntime_runner import stranded
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.bench.torch_header import read_program_inputs
from condensa_core.errors import MissingRuntime, UsageError
from condensa_core.export.torch_program import save_pt2


class Products(torch.nn.Module):
    """The same chain of products as the ONNX files of these tests."""

    def __init__(self, weights: list[np.ndarray]) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList([torch.tensor(w) for w in weights])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight in self.weights:
            x = x @ weight
        return x


def weights_of(path) -> list[np.ndarray]:
    return [numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer]


@pytest.fixture(scope="module")
def program(chain, tmp_path_factory):
    path = tmp_path_factory.mktemp("programs") / "m.pt2"
    save_pt2(Products(weights_of(chain(3, 16))), (torch.zeros(2, 16),), path)
    return path


def computed(runtime: str, path, *, threads: int = 1) -> tuple[np.ndarray, np.ndarray, str]:
    """Input, output and provider of one run at batch 5."""
    feeds = prepare({"m": fitting(examine(path), runtime).inputs}, InputRequest(batch=5)).feeds["m"]
    with open_runner(BenchTarget(runtime, "cpu", 5, threads), path, feeds) as runner:
        runner.run()
        (output,) = runner.outputs().values()
        return next(iter(feeds.values())), output, runner.provider


@pytest.mark.parametrize(
    ("runtime", "provider"), [("onnxruntime", "CPUExecutionProvider"), ("openvino", "CPU, floats in float32")]
)
def test_onnx_runtimes_compute_the_file_in_its_own_precision(runtime, provider, chain):
    x, y, used = computed(runtime, chain(3, 16))

    first, second, third = weights_of(chain(3, 16))
    # float32 sums of 16 products, three times; bfloat16 would be off by a hundredth
    np.testing.assert_allclose(y, x @ first @ second @ third, rtol=1e-4, atol=1e-4)
    assert used == provider


@pytest.mark.parametrize("runtime", ["torch", "torch-inductor"])
def test_torch_computes_the_program(runtime, program, chain):
    if runtime == "torch-inductor" and shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    threads = torch.get_num_threads()

    x, y, used = computed(runtime, program, threads=2)

    first, second, third = weights_of(chain(3, 16))
    np.testing.assert_allclose(y, x @ first @ second @ third, rtol=1e-4, atol=1e-4)
    assert used == {"torch": "eager", "torch-inductor": "inductor"}[runtime]
    assert torch.get_num_threads() == threads


def test_openvino_computes_one_thread_in_the_calling_one(chain):
    path = chain(8, 512)
    feeds = prepare({"m": examine(path).inputs}, InputRequest(batch=4)).feeds["m"]
    with open_runner(BenchTarget("openvino", batch=4), path, feeds) as runner:
        runner.run()

        process, thread = time.process_time_ns(), time.thread_time_ns()
        for _ in range(40):
            runner.run()
        thread, process = time.thread_time_ns() - thread, time.process_time_ns() - process

    assert thread >= 0.9 * process  # so processor time of the thread is the time of the work


def test_the_inputs_of_a_program_are_read_without_torch(program, tmp_path):
    class Two(torch.nn.Module):
        def forward(self, ids: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
            return image.sum((1, 2)) + ids.sum(1)

    save_pt2(
        Two(), (torch.zeros(2, 7, dtype=torch.int64), torch.zeros(2, 3, 4, dtype=torch.float16)), tmp_path / "2.pt2"
    )

    (x,) = read_program_inputs(program)
    ids, image = read_program_inputs(tmp_path / "2.pt2")

    assert (x.name, x.element, x.shape[1]) == ("x", "FLOAT", 16)
    assert isinstance(x.shape[0], str)
    assert ids == TensorSignature("ids", "INT64", (image.shape[0], 7))
    assert (image.element, image.shape[1:]) == ("FLOAT16", (3, 4))


def test_element_types_have_the_numbers_of_torch():
    from torch._export.serde.schema import ScalarType

    from condensa_core.bench.torch_header import _ELEMENTS

    names = {"BYTE": "UINT8", "CHAR": "INT8", "SHORT": "INT16", "INT": "INT32", "LONG": "INT64", "HALF": "FLOAT16"}
    assert {kind: names.get(ScalarType(kind).name, ScalarType(kind).name) for kind in _ELEMENTS} == _ELEMENTS


def test_a_checkpoint_is_no_program(tmp_path):
    torch.save({"w": torch.zeros(2)}, tmp_path / "m.pt2")

    with pytest.raises(UsageError, match=r"m\.pt2 is an archive, but no torch\.export program; a checkpoint holds"):
        examine(tmp_path / "m.pt2")


@pytest.mark.parametrize(
    ("runtime", "path", "message"),
    [
        (
            "torch",
            "chain",
            r"takes programs of torch\.export \(\.pt2\), and .* is none; for it there is onnxruntime or",
        ),
        ("openvino", "program", "takes ONNX files .*for it there is torch or torch-inductor"),
    ],
)
def test_a_runtime_says_which_files_it_takes(runtime, path, message, chain, program):
    with pytest.raises(UsageError, match=message):
        compare({"m": {"chain": chain(2), "program": program}[path]}, BenchTarget(runtime))


@pytest.mark.parametrize(
    ("module", "runtime", "message"),
    [("openvino", "openvino", r"OpenVINO is not installed; install the extra: pip install '\.\[openvino\]'")],
)
def test_a_missing_runtime_names_its_extra(module, runtime, message, chain, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingRuntime, match=message):
        compare({"m": chain(2)}, BenchTarget(runtime))


def test_inductor_says_that_it_needs_a_compiler(program, monkeypatch):
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    threads = torch.get_num_threads()

    with pytest.raises(MissingRuntime, match=r"needs a C\+\+ compiler.*apt-get install g\+\+"):
        compare({"m": program}, BenchTarget("torch-inductor"))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (BenchTarget("openvino", "cuda"), UsageError, "computes on the cpu, not on cuda"),
        (BenchTarget("onnxruntime-tensorrt"), UsageError, "does not compute on the cpu; add --device cuda"),
    ],
)
def test_a_runtime_on_a_device_it_does_not_know_is_refused(target, error, message, chain):
    with pytest.raises(error, match=message):
        compare({"m": chain(2)}, target)


def test_torch_without_a_gpu_says_so(program):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")

    with pytest.raises(MissingRuntime, match="finds no CUDA device"):
        compare({"m": program}, BenchTarget("torch", "cuda"))


def test_work_that_a_gpu_leaves_to_the_cpu_is_noticed():
    gpu, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"

    assert stranded([(gpu, "Conv"), (cpu, "Shape"), (cpu, "Gather")]) == []
    assert stranded([(gpu, "Conv"), (cpu, "TopK"), (cpu, "NonZero"), (cpu, "TopK")]) == ["NonZero", "TopK"]


def test_a_model_of_two_devices_is_refused(chain, monkeypatch):
    # given a runtime that starts CUDA and leaves one operator to the CPU
    import onnxruntime

    placed = [SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: [SimpleNamespace(op_type="TopK")])]
    session = SimpleNamespace(
        get_providers=lambda: ["CUDAExecutionProvider"], get_provider_graph_assignment_info=lambda: placed
    )
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **kwargs: session)

    with pytest.raises(UsageError, match=r"CUDAExecutionProvider leaves TopK of .* to the CPU"):
        compare({"m": chain(2)}, BenchTarget(device="cuda"))
