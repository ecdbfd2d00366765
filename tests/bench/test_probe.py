"""A runtime that kills its process kills a child, and the run that asked goes on."""

import os
import signal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.bench import probe
from condensa_core.bench.probe import Prober
from condensa_core.bench.target import BenchTarget
from condensa_core.errors import RunFailed

CPU = BenchTarget()
# Put before everything that the child imports: its runtime dies, or sleeps, of files that are called so.
DEADLY = """
import os, signal, time
from condensa_core.bench import probe

real = probe.open_runner


def open_runner(target, path, feeds):
    if "deadly" in str(path):
        os.kill(os.getpid(), signal.SIGSEGV)
    if "leaving" in str(path):
        os._exit(3)
    if "stuck" in str(path):
        time.sleep(60)
    print("a runtime may print what it likes")
    return real(target, path, feeds)


probe.open_runner = open_runner
"""


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """The folder of files, some of which kill the runtime that opens them."""
    (tmp_path / "deadly_runtime.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    start = probe._START.replace("from condensa_core", "import deadly_runtime; from condensa_core")
    monkeypatch.setattr(probe, "_START", start)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")],
    )
    for name in ("sound", "deadly", "leaving", "stuck"):
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
            tmp_path / f"{name}.onnx",
        )
    return tmp_path


def test_a_crash_is_told_and_the_next_file_has_a_new_child(deadly):
    with Prober() as prober:
        prober.probe(deadly / "sound.onnx", CPU)
        with pytest.raises(RunFailed, match=r"onnxruntime was killed by SIGSEGV while it loaded and ran deadly\.onnx"):
            prober.probe(deadly / "deadly.onnx", CPU)
        with pytest.raises(RunFailed, match=r"ended its process with code 3 while it loaded and ran leaving\.onnx"):
            prober.probe(deadly / "leaving.onnx", CPU)
        prober.probe(deadly / "sound.onnx", CPU, batch=3)


def test_what_is_refused_is_no_crash(deadly):
    (deadly / "broken.onnx").write_bytes(b"no model")

    with Prober() as prober:
        prober.probe(deadly / "broken.onnx", CPU)  # whoever loads it next is told why
        prober.probe(deadly / "sound.onnx", BenchTarget(device="cuda"))
        child = prober._child
        assert child is not None and child.poll() is None


def test_a_child_that_does_not_come_back_is_killed(deadly):
    with Prober(timeout_s=0.3) as prober:
        with pytest.raises(RunFailed, match=r"did not come back from stuck\.onnx"):
            prober.probe(deadly / "stuck.onnx", CPU)
        assert prober._child is None


def test_the_child_ends_with_the_block(deadly):
    with Prober() as prober:
        prober.probe(deadly / "sound.onnx", CPU)
        child = prober._child

    assert child is not None and child.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
