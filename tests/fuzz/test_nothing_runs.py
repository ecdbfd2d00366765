"""Files that would run code, read other files or fill the memory, given to what reads such files."""

import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_models import models

from condensa_core.bench.inputs import InputRequest, prepare
from condensa_core.bench.model_file import examine
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.errors import CondensaError, UsageError, WorkloadError
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
