from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from condensa_core.errors import ExportFailed, MachineError, UsageError
from condensa_core.export import load_pt2, save_pt2, save_weights
from condensa_core.export.publish import publish

LOADER = """
import sys, torch
assert "condensa_core" not in sys.modules
inputs, outputs = torch.load(sys.argv[2])
torch.testing.assert_close(torch.export.load(sys.argv[1]).module()(inputs), outputs)
print("same")
"""


@pytest.fixture(scope="module")
def program(make, batch, tmp_path_factory) -> tuple[nn.Module, Path]:
    model = make("residual").train()
    path = tmp_path_factory.mktemp("pt2") / "model.pt2"
    save_pt2(model, (torch.full((2, 1, 8, 8), 1234.5),), path)
    return model, path


def test_program_computes_the_model_where_its_code_is_unknown(program, batch, tmp_path):
    model, path = program
    x = batch(5)
    with torch.no_grad():
        torch.save((x, model.eval()(x)), tmp_path / "expected.pt")

    told = subprocess.run(
        [sys.executable, "-I", "-c", LOADER, path, tmp_path / "expected.pt"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    assert told.stdout == "same\n", told.stderr


def test_program_is_loaded_at_any_batch(program, batch):
    model, path = program

    module = load_pt2(path)

    for count in (1, 6):
        torch.testing.assert_close(module(batch(count)), model.eval()(batch(count)))


def test_program_holds_no_local_path_and_no_sample(program):
    _, path = program

    with zipfile.ZipFile(path) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())

    assert str(Path(__file__).parent).encode() not in content
    assert b"site-packages" not in content
    assert torch.tensor(1234.5).numpy().tobytes() * 4 not in content


def test_saving_leaves_the_model_in_its_mode(make, batch, tmp_path):
    model = make("mlp").train()

    save_pt2(model, (batch(2),), tmp_path / "m.pt2")

    assert all(m.training for m in model.modules())


def test_program_needs_an_example_of_two(make, batch, tmp_path):
    with pytest.raises(UsageError, match="at least 2"):
        save_pt2(make("mlp"), (batch(1),), tmp_path / "m.pt2")


@pytest.mark.parametrize("content", [None, b"", b"not a program"])
def test_what_is_no_program_is_refused(content, tmp_path):
    path = tmp_path / "m.pt2"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError, match=r"m\.pt2"):
        load_pt2(path)


def test_weights_come_back_exactly(make, tmp_path):
    model, other = make("conv", 8, seed=1), make("conv", 8, seed=2)
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight.half())

    save_weights(model, tmp_path / "w.safetensors", {"classifier.weight"})

    state = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert state["classifier.weight"].dtype == torch.float16
    other.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_tied_weights_are_saved_under_both_names(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight

    save_weights(model, tmp_path / "w.safetensors")

    model.load_state_dict(safetensors.torch.load_file(tmp_path / "w.safetensors"))


def test_weights_that_float16_would_change_are_refused(make, tmp_path):
    with pytest.raises(ExportFailed, match=r"classifier\.weight"):
        save_weights(make("conv"), tmp_path / "w.safetensors", {"classifier.weight"})
    with pytest.raises(ExportFailed, match="'nowhere'"):
        save_weights(make("conv"), tmp_path / "w.safetensors", {"nowhere"})

    assert not list(tmp_path.iterdir())


def test_interrupted_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "m.bin"
    publish(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("condensa_core.whole_file.os.fsync", full)
    with pytest.raises(MachineError, match="No space left on device"):
        publish(path, b"new")

    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.bin"]
