"""What each runtime would need, on machines made up and on this one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from condensa_core.bench import RUNTIMES, BenchTarget, open_runner, readiness
from condensa_core.bench.readiness import compiler, torch_cuda
from condensa_core.errors import MissingRuntime, UsageError
from condensa_core.platforms import DEVICES_OF, Gpu


@pytest.fixture
def here(monkeypatch):
    """here(gpu=..., cuda=..., installed=..., providers=...) makes up a machine, and gives what each pair needs."""

    def make(gpu=None, cuda=None, installed=(), providers=()):
        monkeypatch.setattr(readiness, "nvidia_gpus", lambda: () if gpu is None else (Gpu("card", gpu),))
        monkeypatch.setattr(readiness, "torch_cuda", lambda: cuda)
        monkeypatch.setattr(readiness, "find_spec", lambda package: object() if package in installed else None)
        runtime = type("Runtime", (), {"get_available_providers": staticmethod(lambda: list(providers))})
        monkeypatch.setattr(readiness, "import_module", lambda name: runtime)
        found = readiness.readiness()
        return {(r.runtime, r.device): [need.what for need in r.needs] for r in found}

    return make


def test_every_runtime_is_told_on_the_devices_it_computes_on(here):
    told = here()

    assert list(DEVICES_OF) == list(RUNTIMES)
    assert list(told) == [(name, device) for name in RUNTIMES for device in DEVICES_OF[name]]


def test_the_table_in_the_documentation_names_these_devices():
    text = (Path(__file__).parents[2] / "docs" / "runtimes.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    named = {name: re.findall(r"`(\w+)`", row[3]) for row in rows for name in re.findall(r"`(\S+)`", row[1])}

    assert {name: tuple(devices) for name, devices in named.items() if name in RUNTIMES} == DEVICES_OF


def test_on_a_bare_machine_nothing_is_ready_and_each_line_says_why(here):
    gpu = "an NVIDIA GPU and its driver"

    told = here()

    assert told["onnxruntime", "cpu"] == ["onnxruntime"]
    assert told["onnxruntime", "cuda"] == ["onnxruntime", gpu]
    assert told["openvino", "cpu"] == ["openvino"]
    assert told["tensorrt-rtx", "cuda"] == ["tensorrt_rtx", gpu]
    assert told["torch", "cuda"] == ["torch", gpu]


def test_a_machine_with_a_gpu_and_runtimes_of_the_cpu(here):
    told = here(gpu=89, installed={"onnxruntime", "torch"}, providers=["CPUExecutionProvider"])

    assert told["onnxruntime", "cpu"] == told["torch", "cpu"] == []
    assert told["onnxruntime", "cuda"] == ["an onnxruntime with its CUDAExecutionProvider"]
    assert told["torch", "cuda"] == told["torch-inductor", "cuda"] == ["a torch built for CUDA"]


def test_a_machine_with_all_that_a_gpu_takes(here):
    pytest.importorskip("tensorrt_rtx")
    everything = {"onnxruntime", "torch", "triton", "tensorrt_rtx"}
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    ready = here(gpu=89, cuda="12.8", installed=everything, providers=providers)
    hopper = here(gpu=90, cuda="12.8", installed=everything - {"triton"}, providers=providers)

    assert {pair for pair, needs in ready.items() if needs} == {("openvino", "cpu"), ("tensorrt", "cuda")}
    assert hopper["torch-inductor", "cuda"] == ["triton"]
    (why,) = hopper["tensorrt-rtx", "cuda"]
    assert why.startswith("another GPU: TensorRT for RTX") and "does not support sm90 (Hopper)" in why


def test_inductor_takes_the_compiler_that_torch_would_take(monkeypatch):
    from torch._inductor.cpp_builder import get_cpp_compiler

    monkeypatch.delenv("CXX", raising=False)
    assert compiler() == shutil.which(get_cpp_compiler())

    monkeypatch.setenv("CXX", "no-such-compiler")
    (needs,) = [r.needs for r in readiness.readiness() if (r.runtime, r.device) == ("torch-inductor", "cpu")]
    assert [need.what for need in needs] == ["the C++ compiler no-such-compiler"]


def test_what_torch_is_built_for_is_what_torch_says():
    import torch

    assert torch_cuda() == torch.version.cuda


def test_what_is_not_ready_here_is_refused_by_its_runner(tmp_path):
    for found in readiness.readiness():
        if found.needs:
            with pytest.raises(MissingRuntime):
                open_runner(BenchTarget(found.runtime, found.device), tmp_path / "none", {"x": np.zeros(1)})


@pytest.mark.parametrize(
    ("runtime", "device"), [(r, d) for r in RUNTIMES for d in ("cpu", "cuda") if d not in DEVICES_OF[r]]
)
def test_a_device_that_is_not_told_is_one_that_the_runtime_refuses(tmp_path, runtime, device):
    if runtime == "tensorrt":
        pytest.importorskip("tensorrt")

    with pytest.raises((UsageError, MissingRuntime)):
        open_runner(BenchTarget(runtime, device), tmp_path / "none", {"x": np.zeros(1)})


def test_looking_loads_no_torch():
    code = (
        "import sys; from condensa_core.flow import runtimes_here; runtimes_here(); "
        "print([m for m in ('torch', 'onnx', 'openvino') if m in sys.modules])"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
