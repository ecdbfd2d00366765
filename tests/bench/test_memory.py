from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from condensa_core.bench import memory
from condensa_core.bench.loading import failure, refusal
from condensa_core.bench.model_file import ModelFile, require_room
from condensa_core.errors import MachineError, UsageError


@pytest.fixture
def container(tmp_path, monkeypatch):
    """A container of 1000 bytes, of which 700 are in use, 200 of those by files that may go."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 200\nactive_file 0\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


def test_a_container_holds_less_than_its_machine(container):
    assert memory.available_bytes() == 500

    (container / "memory.max").write_text("max\n")
    assert 500 < memory.available_bytes() <= psutil.virtual_memory().total


def test_what_does_not_fit_is_refused_with_both_sizes(container):
    memory.require_memory(500, "m.onnx")

    with pytest.raises(MachineError, match=r"m\.onnx would take about 2\.0 GB of memory, of which 0\.0 GB are free"):
        memory.require_memory(2e9, "m.onnx")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError(), MachineError, "R ran out of memory when it loaded m.onnx"),
        (RuntimeError("std::bad_alloc"), MachineError, "R ran out of memory"),
        (
            RuntimeError("Exception from src/core.cpp:1:\nno such layer\n"),
            UsageError,
            "R cannot load m.onnx: no such layer",
        ),
        (RuntimeError("[ONNXRuntimeError] : 1 : FAIL : bad shape"), UsageError, "R cannot load m.onnx: bad shape"),
    ],
)
def test_what_a_runtime_says_becomes_a_sentence(error, kind, message):
    told = refusal("R", Path("m.onnx"), error)

    assert type(told) is kind
    assert message in str(told)


def test_memory_that_runs_out_in_an_inference_is_the_machine_s():
    said = "Failed to allocate memory for requested buffer of size 6553600000"  # ONNX Runtime's words

    assert type(failure("R", Path("m.onnx"), RuntimeError(said))) is MachineError
    assert type(failure("R", Path("m.onnx"), RuntimeError("Invalid input shape"))) is UsageError


@pytest.mark.parametrize(("judged", "most"), [(True, 1.6 * (300 + 100) + 300), (False, 1.6 * (300 + 100))])
def test_files_need_room_for_their_sessions_and_the_largest_reference(monkeypatch, judged, most):
    files = [ModelFile(Path(f"{size}.onnx"), "onnx", (), size) for size in (300, 100)]

    monkeypatch.setattr(memory, "available_bytes", lambda: most)
    require_room(files, judged=judged)

    monkeypatch.setattr(memory, "available_bytes", lambda: most - 1)
    with pytest.raises(MachineError, match="these 2 models together would take"):
        require_room(files, judged=judged)
