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
from condensa_core.code_free import _is_arithmetic, _is_plain, load_program
from condensa_core.errors import CondensaError, UsageError, WorkloadError
from condensa_core.export import read_onnx, save_pt2, unpack_onnx
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


def rewritten(source, target, change):
    """A copy of an archive with the members that `change(name, content)` gives."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            for name, content in change(member.filename, old.read(member)):
                new.writestr(name, content)
    return target


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    save_pt2(torch.nn.Linear(3, 2), (torch.zeros(2, 3),), path)
    assert load_program(path) is not None
    return path


def test_a_program_with_a_pickle_in_it_is_refused_and_not_run(tmp_path, program, evil):
    buffer = io.BytesIO()
    torch.save(evil, buffer)

    def planted(name, content):
        return [(name, buffer.getvalue() if "sample_inputs" in name else content)]

    with pytest.raises(UsageError, match="no program that torch loads"):
        load_program(rewritten(program, tmp_path / "evil.pt2", planted))
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize(
    "target", ["torch.os.system", "torch.ops.load_library", "torch.hub.load", "_operator.methodcaller"]
)
def test_a_program_that_calls_what_is_no_operator_is_refused(tmp_path, program, target):
    def planted(name, content):
        if name.endswith(".json") and "models/" in name:
            content = content.replace(b"torch.ops.aten.linear.default", target.encode())
            assert target.encode() in content
        return [(name, content)]

    with pytest.raises(UsageError, match="no operator or size"):
        load_program(rewritten(program, tmp_path / "evil.pt2", planted))


def test_a_program_with_compiled_code_is_refused(tmp_path, program):
    added = rewritten(
        program, tmp_path / "e.pt2", lambda name, content: [(name, content), (f"{name}.aotinductor.so", b"x")]
    )

    with pytest.raises(UsageError, match="compiled code, which is never run"):
        load_program(added)


def test_an_archive_that_swells_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/models/model.json", b"0" * 200_000_000)

    with pytest.raises(UsageError, match="declares more than it can hold"):
        load_program(tmp_path / "bomb.pt2")


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("s77", True),
        ("Symbol('s0', integer=True, positive=True)", True),
        ("2*s0 + Mod(s1, 8)", True),
        ("FloorDiv(s0 - 1, 2) + 1", True),
        ("Add(Integer(-1), Mul(Integer(16), Symbol('s23', positive=True, integer=True)))", True),
        ("Mul(Float('0.5', precision=53), s0)", True),
        ("Float('x', precision=53)", False),
        ("__import__('os').system('true')", False),
        ("S('1')", False),
        ("open('x')", False),
        ("s0.__class__", False),
        ("(1).real", False),
        ("Symbol('s0').func", False),
        ("[x for x in s0]", False),
        ("exec(s0)", False),
    ],
)
def test_an_expression_is_arithmetic_over_sizes(text, sound):
    assert _is_arithmetic(text) is sound


def test_plain_targets_are_operators():
    assert _is_plain("target", "torch.ops.aten.add.Tensor") and _is_plain("target", "_operator.getitem")
    assert not _is_plain("target", "torch.ops.aten.__class__") and not _is_plain("target", "math.__loader__.x")


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
