"""The native runner as far as a machine without a GPU can follow it: to the engine that no driver opens."""

import ast
import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

from condensa_core.bench import BenchTarget, compare, open_runner
from condensa_core.engines import Gpu
from condensa_core.errors import Interrupted, MissingRuntime, UsageError
from condensa_core.progress import Advanced

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed, or not made for this platform")

ADA, HOPPER = Gpu("NVIDIA L4", 89), Gpu("NVIDIA H100", 90)
NO_DRIVER = "import ctypes, sys; ctypes.CDLL('libcuda.so.1')"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """machine(gpu...): GPUs as the driver would name them, a torch that finds them, an empty cache."""
    monkeypatch.setenv("CONDENSA_CACHE", str(tmp_path))

    def pretend(*gpus):
        from condensa_core.bench import tensorrt_runner

        for place in (tensorrt_runner, sys.modules["condensa_core.engines.family"]):
            monkeypatch.setattr(place, "nvidia_gpus", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus))
        return tmp_path

    return pretend


def opened(chain, device="cuda"):
    feeds = {"x": np.zeros((4, 192), np.float32)}
    return open_runner(BenchTarget("tensorrt-rtx", device=device, batch=4), chain(2), feeds)


def test_without_a_driver_it_points_at_what_can_be_known(chain, machine):
    machine()

    with pytest.raises(MissingRuntime, match=r"here is no NVIDIA driver; condensa engine .*onnx --for sm89"):
        opened(chain)


def test_it_runs_on_gpus_only(chain, machine):
    machine(ADA)

    with pytest.raises(UsageError, match="--device cuda"):
        opened(chain, device="cpu")


def test_a_gpu_that_it_does_not_support_gets_another_runtime_named(chain, machine):
    folder = machine(HOPPER)

    with pytest.raises(MissingRuntime, match=r"does not support sm90 \(Hopper\).*ONNX Runtime's CUDA provider"):
        opened(chain)

    assert list(folder.iterdir()) == []


def test_the_engine_is_built_for_the_gpu_and_the_batch_and_a_driver_that_fails_is_named(chain, machine):
    if subprocess.run([sys.executable, "-c", NO_DRIVER], capture_output=True, check=False).returncode == 0:
        pytest.skip("an NVIDIA driver is here, and would open the engine")
    folder = machine(ADA)

    with pytest.raises(MissingRuntime, match=r"cannot open its engine on this machine: .*(?i:cuda)"):
        opened(chain)

    (facts,) = (folder / "engines").glob("*.json")
    text = facts.read_text()
    assert '"capabilities": [89]' in text
    assert '"batches": {"min": 4, "opt": 4, "max": 4}' in text


def test_building_is_told_to_who_compares_and_stops_where_that_raises(chain, machine):
    folder = machine(ADA)

    def refusing(event):
        if isinstance(event, Advanced):
            raise Interrupted(f"stopped in {event.phase}")

    with pytest.raises(Interrupted, match="stopped in engine"):
        compare({"m": chain(2)}, BenchTarget("tensorrt-rtx", device="cuda", batch=4), listener=refusing)

    assert not list(folder.rglob("*.engine"))


def names_read_of(source: str, owner: str) -> set[str]:
    """Attributes that the source reads of what it calls `owner`."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == owner
    }


@pytest.mark.parametrize(
    ("owner", "kind", "least"),
    [
        ("self._context", trt.IExecutionContext, 4),
        ("self._engine", trt.ICudaEngine, 5),
        ("family.module", trt, 3),
    ],
)
def test_what_is_called_on_a_gpu_exists_in_the_installed_package(owner, kind, least):
    from condensa_core.bench import tensorrt_runner

    names = names_read_of(inspect.getsource(tensorrt_runner), owner)

    assert len(names) >= least
    assert not {name for name in names if not hasattr(kind, name)}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: nothing can be run")
@pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.get_device_capability() == (9, 0), reason="sm90")
def test_on_a_gpu_outputs_are_those_of_onnx_runtime(chain, tmp_path, monkeypatch):
    monkeypatch.setenv("CONDENSA_CACHE", str(tmp_path))
    feeds = {"x": np.random.default_rng(0).standard_normal((4, 192)).astype(np.float32)}
    with open_runner(BenchTarget("onnxruntime", batch=4), chain(2), feeds) as runner:
        runner.run()
        expected = runner.outputs()["y"]

    with open_runner(BenchTarget("tensorrt-rtx", device="cuda", batch=4), chain(2), feeds) as runner:
        runner.run()
        found = runner.outputs()["y"]
        assert runner.device_ns(10) > 0

    assert np.abs(found - expected).max() < 1e-2 * np.abs(expected).max()  # TF32 keeps 10 bits of a product
