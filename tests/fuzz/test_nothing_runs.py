"""Files that would run code, read other files or fill the memory, given to what reads such files."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_models import models

from condensa_core.bench.inputs import InputRequest, prepare
from condensa_core.bench.model_file import examine
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.errors import CondensaError, MachineError, UsageError, WorkloadError
from condensa_core.export import read_onnx, unpack_onnx
from condensa_core.learning import Checkpoint
from condensa_core.search import read_journal
from condensa_core.workload.weights import read_state


class Writes:
    """Unpickled with code allowed, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


@pytest.fixture
def evil(tmp_path):
    """Bytes of a pickle, and a check that nobody ran it: after a reader that does, the check fails."""
    mark = tmp_path / "owned"
    pickle.loads(pickle.dumps(Writes(mark)))
    assert mark.exists()
    mark.unlink()
    yield Writes(mark)
    assert not mark.exists()


def test_no_reader_of_files_runs_a_pickle(tmp_path, evil):
    torch.save({"w": evil}, tmp_path / "w.pt")
    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(evil))
    (tmp_path / "trials.jsonl").write_bytes(pickle.dumps(evil))
    (tmp_path / "packed.onnx").write_bytes(pickle.dumps(evil))
    np.savez(tmp_path / "x.npz", x=np.array([evil], dtype=object))
    signature = TensorSignature("x", "FLOAT", (1,))

    with pytest.raises(WorkloadError, match="never run"):
        read_state(tmp_path / "w.pt")
    with pytest.raises(WorkloadError):
        read_state(tmp_path / "w.safetensors")
    assert Checkpoint(tmp_path / "w.safetensors").load() is None
    with pytest.raises(CondensaError):
        read_journal(tmp_path / "trials.jsonl")
    with pytest.raises(UsageError):
        unpack_onnx(tmp_path / "packed.onnx", tmp_path / "out.onnx")
    with pytest.raises(UsageError):
        examine(tmp_path / "packed.onnx")
    with pytest.raises(UsageError, match="no file of arrays"):
        prepare({"m": [signature]}, InputRequest(file=tmp_path / "x.npz"))


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link", "folder/../../secret", "a" * 5000, "a\0b"])
def test_weights_of_a_model_lie_beside_it(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(10_000))
    (folder / "link").symlink_to(tmp_path / "secret")
    model = models()[-1]
    changed = type(model)()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / "m.onnx").write_bytes(changed.SerializeToString())

    with pytest.raises(UsageError, match=r"outside its own folder|no file's name|missing"):
        examine(folder / "m.onnx")
    with pytest.raises(UsageError, match="in other files"):
        read_onnx(folder / "m.onnx")
    with pytest.raises(UsageError):
        unpack_onnx(folder / "m.onnx", folder / "out.onnx")
    assert not (folder / "out.onnx").exists()


@pytest.mark.parametrize("declared", [2**20, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_absurd_length_is_refused(tmp_path, declared):
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", declared) + json.dumps({}).encode())

    with pytest.raises(WorkloadError, match="not a readable weights file"):
        read_state(path)
    assert Checkpoint(path).load() is None


def test_weights_that_swell_are_refused(tmp_path, peak):
    torch.save({"w": torch.zeros(30_000_000)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as old, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED, 1)
    assert (tmp_path / "bomb.pt").stat().st_size < 1_000_000
    (tmp_path / "w.pt").unlink()

    with peak(50_000_000), pytest.raises(UsageError, match="declares more than it can hold"):
        read_state(tmp_path / "bomb.pt")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
    ],
    ids=["beyond the file", "overflow", "negative"],
)
def test_tensors_that_declare_more_than_the_file_are_refused(tmp_path, peak, entry):
    header = json.dumps({"w": entry}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))

    with peak(50_000_000), pytest.raises(WorkloadError, match="not a readable weights file"):
        read_state(path)


@pytest.mark.parametrize("shape", [(2**42,), (2**30, 2**30), (10**18, 10**18)])
def test_arrays_that_declare_more_than_the_file_are_refused(tmp_path, peak, shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue() + bytes(16))

    with peak(50_000_000), pytest.raises(UsageError, match="declares"):
        prepare({"m": [TensorSignature("x", "FLOAT", (1,))]}, InputRequest(file=tmp_path / "x.npz"))


def test_arrays_of_absurd_sizes_are_refused_before_they_are_unpacked(tmp_path, peak, monkeypatch):
    monkeypatch.setattr("condensa_core.bench.array_file.LARGEST", 1_000_000)
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(100, np.float32), y=np.zeros(100_000_000, np.uint8))

    with peak(50_000_000), pytest.raises(UsageError, match=r"declare 100,000,400 bytes .* at most 1,000,000 are read"):
        prepare({"m": [TensorSignature("x", "FLOAT", (1,))]}, InputRequest(file=tmp_path / "x.npz"))


def test_an_array_with_an_absurd_header_is_refused_before_it_is_unpacked(tmp_path, peak):
    length = 200_000_000
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
        file.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", length))
        for _ in range(200):
            file.write(b" " * (length // 200))

    with peak(50_000_000), pytest.raises(UsageError, match="is no file of arrays"):
        prepare({"m": [TensorSignature("x", "FLOAT", (1,))]}, InputRequest(file=tmp_path / "x.npz"))


def test_arrays_for_which_there_is_no_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(1_000_000, np.float32))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 5_000_000}))

    with pytest.raises(MachineError, match="memory"):
        prepare({"m": [TensorSignature("x", "FLOAT", (1,))]}, InputRequest(file=tmp_path / "x.npz"))
