"""A model that counts, warms up or averages outside its state dict: a resumed training is the same all the same."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from condensa_core.errors import Interrupted
from condensa_core.learning import Checkpoint, Settings, compress
from condensa_core.learning.unlisted_state import UnlistedState
from condensa_core.progress import Advanced, Note
from condensa_core.randomness import Seed
from condensa_core.schemes import Part, Prune
from condensa_core.workload import Score, TensorBatches

SHORT = Settings(steps=4, iterations=5, patience=99)


class Counting(nn.Module):
    """Noise that grows with the number of training passes, which it keeps as `kind` says."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)
        self.register_buffer("buffer", torch.zeros(()), persistent=False)
        self.number, self.later, self.tensor, self.listed = 0, None, torch.zeros(()), [0]
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        x = self.first(x).relu()
        return self.second(x * (1 + 0.01 * self.counted()) if self.training else x)

    def counted(self):
        if self.kind == "buffer":
            return self.buffer.add_(1).item()
        if self.kind == "number":
            self.number += 1
            return self.number
        if self.kind == "later":
            self.later = 1.0 if self.later is None else self.later + 1.0
            return self.later
        if self.kind == "tensor":
            self.tensor = self.tensor + 1
            return self.tensor
        if self.kind == "drawn":
            return float(torch.rand(()))
        if self.kind == "numpy":
            return np.random.random()
        if self.kind == "random":
            return random.random()
        if self.kind == "listed":
            self.listed[0] += 1
            return self.listed[0]
        return float(torch.rand((), generator=self.generator))


def data():
    drawn = torch.Generator().manual_seed(2)
    return TensorBatches(torch.randn(32, 4, generator=drawn), torch.arange(32) % 3, 8, Seed(1), training=True)


def learn(kind, listener=lambda event: None, checkpoint=None, judge=lambda model: Score(0.5, 0.1, 8, "higher")):
    torch.manual_seed(0)
    model = Counting(kind)
    parts = [Part(("first.weight", "second.weight"), Prune(0.5))]
    return compress(
        model, parts, data(), cross_entropy, judge, SHORT, seed=Seed(3), listener=listener, checkpoint=checkpoint
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["buffer", "number", "later", "tensor", "drawn", "numpy", "random"])
def test_an_interrupted_training_goes_on_with_what_no_state_dict_has(kind, tmp_path):
    whole = learn(kind)

    def stopping(event):
        if isinstance(event, Advanced) and event.phase == "learn" and event.done == 2:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        learn(kind, stopping, Checkpoint(tmp_path / "lc.safetensors"))
    random.random(), np.random.random(), torch.rand(())  # another process is elsewhere
    resumed = learn(kind, checkpoint=Checkpoint(tmp_path / "lc.safetensors"))

    assert resumed.history == whole.history
    assert all(torch.equal(value, whole.live[name]) for name, value in resumed.live.items())


@pytest.mark.parametrize("kind", ["listed", "generator"])
def test_what_cannot_be_put_back_is_told_by_its_name(kind, tmp_path):
    told = []

    learn(kind, told.append, Checkpoint(tmp_path / "lc.safetensors"))

    (warning,) = [event.message for event in told if isinstance(event, Note) and event.level == "warning"]
    assert f".{kind}," in warning


def test_a_model_that_keeps_nothing_is_told_nothing_and_saves_nothing():
    model = Counting("buffer")
    beside = UnlistedState(model)
    with torch.no_grad():
        model.first.weight.add_(1)

    model.eval()(torch.ones(1, 4))

    assert beside.changed(model) == ({}, {}) and beside.lost(model) == []


def test_a_tensor_that_shares_the_memory_of_a_weight_follows_it():
    model = Counting("buffer")
    model.tensor = model.first.weight.data
    beside = UnlistedState(model)
    with torch.no_grad():
        model.first.weight.add_(1)

    beside.put_back(model)

    assert beside.changed(model) == ({}, {})
    assert torch.equal(model.tensor, model.first.weight)


def test_each_l_step_draws_numbers_of_its_own(monkeypatch):
    drawn = []
    monkeypatch.setattr(Counting, "counted", lambda self: drawn.append(float(torch.rand(()))) or drawn[-1])

    learn("drawn")

    assert len(set(drawn)) == len(drawn) >= SHORT.steps * SHORT.iterations


def test_what_a_judge_draws_follows_from_the_step(tmp_path):
    def judge(model):
        return Score(float(torch.rand(())) + np.random.random() + random.random(), 0.1, 8, "higher")

    one = learn("buffer", judge=judge)
    random.random(), np.random.random(), torch.rand(())
    two = learn("buffer", judge=judge)

    assert one.history == two.history and len({entry["score"]["value"] for entry in one.history}) == SHORT.steps + 1
