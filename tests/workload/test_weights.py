"""Weights from files: what is read, what is refused, and that no code in them ever runs."""

import contextlib
import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from condensa_core.errors import WorkloadError
from condensa_core.recipe import ModelSpec
from condensa_core.workload import load_weights


def net(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, 2))


def spec(name: str, sha256: str | None = None) -> ModelSpec:
    return ModelSpec(builtin="small-cnn", weights=name, sha256=sha256)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("kind", ["safetensors", "plain", "wrapped", "parallel", "old"])
def test_weights_come_back_as_saved(tmp_path, kind):
    saved, fresh = net(), net()
    state = saved.state_dict()
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "wrapped":
        torch.save({"state_dict": state, "epoch": 3}, path)
    elif kind == "parallel":
        torch.save({f"module.{name}": value for name, value in state.items()}, path)
    elif kind == "old":
        torch.save({name: value for name, value in state.items() if "num_batches" not in name}, path)
    else:
        torch.save(state, path)

    digest = load_weights(fresh, spec(path.name), tmp_path)

    assert same(fresh, saved)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_sha256_is_held_against_the_file(tmp_path):
    saved, fresh = net(), net()
    save_file(saved.state_dict(), tmp_path / "w.safetensors")
    right = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()

    with pytest.raises(WorkloadError, match=f"w.safetensors has sha256 {right}, the recipe says {'0' * 64}"):
        load_weights(fresh, spec("w.safetensors", "0" * 64), tmp_path)
    assert not same(fresh, saved)
    load_weights(fresh, spec("w.safetensors", right.upper()), tmp_path)

    assert same(fresh, saved)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["torch", "pickle", "renamed"])
def test_pickled_code_is_never_run(tmp_path, form):
    name = "w.safetensors" if form == "renamed" else "w.pt"
    evil = {"0.weight": Malicious(tmp_path / "ran")}
    if form == "torch":
        torch.save(evil, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(evil))

    with pytest.raises(WorkloadError, match=r"pickled code, which is never run|not a readable weights file"):
        load_weights(net(), spec(name), tmp_path)

    assert not (tmp_path / "ran").exists()


def test_a_misfit_is_summed_up_and_changes_nothing(tmp_path):
    state = net(4).state_dict()
    state["extra.weight"] = torch.zeros(1)
    del state["3.bias"]
    torch.save(state, tmp_path / "w.pt")
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    with pytest.raises(WorkloadError) as caught:
        load_weights(model, spec("w.pt"), tmp_path)

    assert caught.value.message == (
        "w.pt does not fit the model: 1 missing (3.bias), 1 unexpected (extra.weight), 7 of another shape "
        "(first: 0.weight is 4x1x3x3 in the file and 3x1x3x3 in the model)"
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_non_finite_weights_are_refused(tmp_path, broken):
    state = net().state_dict()
    state["3.bias"][0] = broken
    torch.save(state, tmp_path / "w.pt")

    with pytest.raises(WorkloadError, match=r"holds NaN, infinity or .* in 1 tensors \(3.bias\)"):
        load_weights(net(), spec("w.pt"), tmp_path)


def test_a_mask_of_infinities_in_the_state_is_no_fault(tmp_path):
    state = net().state_dict() | {"mask": torch.full((3, 3), -torch.inf).triu(1)}
    torch.save(state, tmp_path / "w.pt")
    model = net()
    model.register_buffer("mask", state["mask"].clone())

    load_weights(model, spec("w.pt"), tmp_path)

    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (torch.int8, 1, r"integers where .* floating point: 1 tensors \(3.bias is int8"),
        (torch.float64, 1e300, r"numbers beyond the model's in 1 tensors \(3.bias\)"),
    ],
)
def test_numbers_that_the_model_cannot_hold_are_refused(tmp_path, dtype, value, message):
    state = net().state_dict()
    state["3.bias"] = torch.full_like(state["3.bias"], value, dtype=dtype)
    torch.save(state, tmp_path / "w.pt")

    with pytest.raises(WorkloadError, match=message):
        load_weights(net(), spec("w.pt"), tmp_path)


def test_half_precision_is_widened(tmp_path):
    state = {name: value.half() for name, value in net().state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    model = net()

    load_weights(model, spec("w.pt"), tmp_path)

    assert all(torch.equal(value, state[name].to(value.dtype)) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pt", b"", "not a readable weights file"),
        ("w.pt", b"plain text", "w.pt is no weights file, or holds pickled code, which is never run; save"),
        ("w.pt", b"\x80\x02K\x00.", "not a readable weights file"),  # a lone number is no checkpoint of any version
        ("w.safetensors", b"\xff" * 40, "not a readable weights file"),
        ("v.pt", None, r"'w.pt' does not exist; did you mean 'v.pt'"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    if content is None:
        torch.save({}, tmp_path / name)
        name = "w.pt"
    else:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(WorkloadError, match=message):
        load_weights(net(), spec(name), tmp_path)


def test_a_file_without_a_state_dict(tmp_path):
    torch.save([1, 2], tmp_path / "w.pt")

    with pytest.raises(WorkloadError, match=r"holds no state_dict; save model.state_dict"):
        load_weights(net(), spec("w.pt"), tmp_path)


def test_names_that_are_no_text_are_refused(tmp_path):
    torch.save({0: torch.zeros(1), "3.bias": torch.zeros(2)}, tmp_path / "w.pt")

    with pytest.raises(WorkloadError, match=r"holds no state_dict; save model.state_dict"):
        load_weights(net(), spec("w.pt"), tmp_path)


@settings(max_examples=60)
@given(st.data())
def test_damage_is_refused_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "w.pt"
    torch.save(net().state_dict(), path, _use_new_zipfile_serialization=data.draw(st.booleans()))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])

    with contextlib.suppress(WorkloadError):  # any other exception fails the test
        load_weights(net(), spec("w.pt"), path.parent)


def test_home_is_where_the_tilde_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    saved, fresh = net(), net()
    save_file(saved.state_dict(), tmp_path / "home" / "w.safetensors")

    load_weights(fresh, spec("~/w.safetensors"), tmp_path / "elsewhere")

    assert same(fresh, saved)
    with pytest.raises(WorkloadError, match="home folder that is not known"):
        load_weights(fresh, spec("~no-such-user/w.safetensors"), tmp_path)
