"""What `bench` says of files that cannot be measured: one message, a hint, the exit code, and nothing left behind."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from condensa_core.errors import MachineError


def model(
    *nodes: onnx.NodeProto, shape: tuple = ("batch", 4), weights: tuple = (), kind: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """x -> y; one product with `w` unless nodes are given."""
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        list(weights) or [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")],
    )
    domains = [helper.make_opsetid("", 20), helper.make_opsetid("my.ops", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=10)


def outside(location: str, dims: tuple[int, int] = (4, 4)) -> onnx.TensorProto:
    """A weight in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    weight.external_data.add(key="length", value=str(4 * dims[0] * dims[1]))
    return weight


def corrupt(folder: Path) -> None:
    whole = model().SerializeToString()
    (folder / "m.onnx").write_bytes(whole[: len(whole) // 2])


def written(proto: onnx.ModelProto):
    return lambda folder: onnx.save(proto, folder / "m.onnx")


def cut_short(folder: Path) -> None:
    onnx.save(model(weights=(outside("m.data"),)), folder / "m.onnx")
    (folder / "m.data").write_bytes(bytes(63))


def linked_outside(folder: Path) -> None:
    onnx.save(model(weights=(outside("m.data"),)), folder / "m.onnx")
    (folder / "m.data").symlink_to("/etc/hostname")


def boasting() -> onnx.TensorProto:
    """A weight of 4 TB in 64 bytes."""
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=(10**6, 10**6), raw_data=bytes(64))


CUSTOM = helper.make_node("Foo", ["x"], ["y"], domain="my.ops")
UNKNOWN = helper.make_node("Foo", ["x"], ["y"])
FILES = {
    "corrupt": (corrupt, [], "m.onnx is not an ONNX model: ", "export it again, or check the download"),
    "text": (lambda f: (f / "m.onnx").write_text("<html>404</html>"), [], "is not an ONNX model", "check the download"),
    "empty": (lambda f: (f / "m.onnx").touch(), [], "m.onnx is empty", "check the download"),
    "directory": (lambda f: (f / "m.onnx").mkdir(), [], "m.onnx is a directory", "name the model's file in it"),
    "custom": (written(model(CUSTOM)), [], "operators that ONNX Runtime does not have: my.ops:Foo", "without them"),
    "unknown": (written(model(UNKNOWN)), [], "operators that ONNX Runtime does not have: Foo", "without them"),
    "openvino": (written(model(CUSTOM)), ["--runtime", "openvino"], "does not have: my.ops.Foo", "without them"),
    "missing": (written(model(weights=(outside("m.data"),))), [], "weights in m.data, which is missing", "beside"),
    "above": (written(model(weights=(outside("../m.data"),))), [], "outside its own folder, in '../m.data'", "beside"),
    "root": (written(model(weights=(outside("/etc/passwd"),))), [], "outside its own folder", "beside it"),
    "linked": (linked_outside, [], "outside its own folder", "beside it"),
    "boasting": (written(model(weights=(boasting(),))), [], "'w' should take 4,000,000,000,000 bytes", "again"),
    "short": (cut_short, [], "m.data up to byte 64, and that has 63", "copy both files again"),
    "dynamic": (written(model(shape=("batch", "time"))), [], "leaves dimension time open", "--shape time=SIZE"),
    "zero": (written(model(shape=("batch", 0))), [], "holds nothing: a dimension is fixed at 0", ""),
    "zero-asked": (written(model()), ["--shape", "x=0x4"], "holds nothing", "at least 1"),
    "zero-batch": (written(model()), ["--batch", "0"], "--batch 0", ""),
    "fixed": (written(model(shape=(2, 4))), ["--batch", "3"], "fixes the batch of input 'x' at 2", "--batch 2"),
    "strings": (written(model(kind=TensorProto.STRING)), [], "of a type that cannot be made up", ""),
    "misfit": (written(model(shape=("batch", 5))), [], "ONNX Runtime cannot load m.onnx", "check_model"),
    "arrays": (written(model()), ["--inputs", "none.npz"], "no such file: none.npz", ""),
    "runtime": (written(model()), ["--runtime", "openvin"], "no runtime called 'openvin'", "did you mean 'openvino'"),
    "kind": (written(model()), ["--runtime", "torch"], "torch takes programs of torch.export", "onnxruntime or"),
}  # fmt: skip


@pytest.mark.parametrize(("write", "flags", "message", "hint"), FILES.values(), ids=FILES)
def test_a_file_that_cannot_be_measured_is_refused(write, flags, message, hint, condensa, tmp_path):
    write(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    answer = condensa("bench", "m.onnx", *flags, "-q")

    assert answer.code == 2, answer.err
    first, *rest = answer.err.splitlines()
    assert first.startswith("error: ") and message in first
    assert hint in "\n".join(rest)
    assert len(answer.err.splitlines()) <= 2 and not answer.out  # a refusal, and no traceback
    assert sorted(tmp_path.rglob("*")) == before


def test_the_arrays_of_a_file_are_checked_before_anything_is_timed(condensa, tmp_path):
    onnx.save(model(), tmp_path / "m.onnx")
    np.savez(tmp_path / "wrong.npz", x=np.zeros((2, 5), np.float32))
    np.savez(tmp_path / "named.npz", y=np.zeros((2, 4), np.float32))

    wrong, named = (condensa("bench", "m.onnx", "--inputs", f"{name}.npz") for name in ("wrong", "named"))

    assert wrong.code == named.code == 2
    assert wrong.err == "error: wrong.npz has x as float32 [2, 5], m.onnx takes x: FLOAT [batch x 4]\n"
    assert "named.npz does not fit m.onnx: it has no x; y besides" in named.err


def test_a_model_larger_than_memory_is_refused_before_it_is_loaded(tmp_path):
    # given 3 GB of weights in a sparse file, and a process that may take 3 GB in all
    onnx.save(model(weights=(outside("m.data", (4, 187_500_000)),)), tmp_path / "m.onnx")
    with (tmp_path / "m.data").open("wb") as file:
        file.truncate(3_000_000_000)
    limit = 3_000_000_000

    told = subprocess.run(
        [sys.executable, "-m", "condensa_cli", "bench", "m.onnx", "-q"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip

    assert told.returncode == MachineError.exit_code == 3, told.stderr
    assert "error: m.onnx would take about 7.8 GB of memory, of which " in told.stderr
    assert "help: measure fewer or smaller models at once" in told.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.data", "m.onnx"]


def test_inputs_larger_than_memory_are_refused(condensa, tmp_path):
    onnx.save(model(shape=("batch", "time", 4)), tmp_path / "m.onnx")

    answer = condensa("bench", "m.onnx", "--shape", "time=100000000000")

    assert answer.code == 3
    assert "the input of m.onnx would take about 3200.0 GB" in answer.err


def test_two_runtimes_have_a_table_each_of_the_same_files(condensa, tmp_path):
    import json

    onnx.save(model(), tmp_path / "m.onnx")
    asked = ["bench", "m.onnx", "--runtime", "onnxruntime,openvino", "--shape", "x=3x4", "--seconds", "0.1", "-q"]

    document = json.loads(condensa(*asked, "--json").out)

    first, second = document["comparisons"]
    assert [first["target"]["backend"], second["target"]["backend"]] == ["onnxruntime", "openvino"]
    assert first["target"]["batch"] == second["target"]["batch"] == 3
    assert list(first["measurements"]) == list(second["measurements"]) == ["m.onnx"]
    assert [c["measurements"]["m.onnx"]["runtime"].partition(" ")[0] for c in (first, second)] == [
        "onnxruntime",
        "openvino",
    ]
