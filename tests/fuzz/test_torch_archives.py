"""Weights of torch whose archive another reader reads otherwise, and pickles where arrays are meant to be."""

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from condensa_core.bench.inputs import InputRequest, prepare
from condensa_core.bench.tensor_types import TensorSignature
from condensa_core.errors import UsageError, WorkloadError
from condensa_core.workload.weights import read_state

_SIZE_AT = 24  # of the unpacked size, in an entry of a zip's directory


class Writes:
    """Unpickled with code allowed, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


def with_two_directories(path):
    """The end names the directory that torch reads; just before it, where zipfile looks, is one of small members."""
    content = path.read_bytes()
    at = content.rindex(b"PK\5\6")
    length, start = struct.unpack("<II", content[at + 12 : at + 20])
    lying = bytearray(content[start : start + length])
    place = 0
    while place < len(lying):
        name, extra, comment = struct.unpack("<HHH", lying[place + 28 : place + 34])
        lying[place + _SIZE_AT : place + _SIZE_AT + 4] = struct.pack("<I", 1)
        place += 46 + name + extra + comment
    path.write_bytes(content[:at] + bytes(lying) + content[at:])


def test_sizes_are_those_of_the_members_that_torch_loads(tmp_path):
    torch.save({"w": torch.zeros(30_000_000)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as old, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED, 1)
    with_two_directories(tmp_path / "bomb.pt")
    with zipfile.ZipFile(tmp_path / "bomb.pt") as archive:
        assert sum(member.file_size for member in archive.infolist()) < 100
    assert torch.load(tmp_path / "bomb.pt", weights_only=True)["w"].shape == (30_000_000,)

    with pytest.raises(UsageError, match="declares more than it can hold"):
        read_state(tmp_path / "bomb.pt")


@pytest.mark.parametrize("name", ["w/DATA/0", "w/Data.pkl"])
def test_members_that_differ_in_case_only_are_refused(tmp_path, name):
    torch.save({"w": torch.zeros(4)}, tmp_path / "w.pt")
    assert set(read_state(tmp_path / "w.pt")) == {"w"}
    with zipfile.ZipFile(tmp_path / "w.pt", "a") as archive:
        archive.writestr(name, bytes(16))

    with pytest.raises(UsageError, match="two members of one name"):
        read_state(tmp_path / "w.pt")


def test_members_below_another_folder_are_refused(tmp_path):
    torch.save({"w": torch.zeros(4)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt", "a") as archive:
        archive.writestr("other/data.pkl", b"")

    with pytest.raises(WorkloadError, match="not a readable weights file"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("form", ["bare pickle", "npy", "npz", "npz that holds a bare pickle"])
def test_inputs_that_are_pickles_are_refused_and_not_run(tmp_path, form):
    ran, path = tmp_path / "ran", tmp_path / "x.npz"
    evil = Writes(ran)
    if form == "npy":
        with path.open("wb") as file:
            np.save(file, np.array([evil], dtype=object), allow_pickle=True)
    elif form == "npz":
        np.savez(path, x=np.array([evil], dtype=object))
    elif form == "bare pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", pickle.dumps(evil))

    with pytest.raises(UsageError, match=r"no file of arrays|a single array"):
        prepare({"m": [TensorSignature("x", "FLOAT", (1,))]}, InputRequest(file=path))
    assert not ran.exists()
