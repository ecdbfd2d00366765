"""A user's own model and data, and what happens when they are wrong."""

import pytest
import torch
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import CondensaError, WorkloadError
from condensa_core.export import load_pt2
from condensa_core.recipe import read_recipe_text, recipe_from, resolved_yaml

OWN = """
import torch
from torch import nn


def net(width=8):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.Sigmoid(),
        nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(width * 16, 4),
    )


class Attention(nn.Module):
    # Its sizes are written out: only the captured program can lose heads.

    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(12), nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).view(-1, 16, 3, 4, 3).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) / 3**0.5).softmax(-1)
        return x + self.out((weights @ v).transpose(1, 2).reshape(-1, 16, 12))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.stem = nn.Conv2d(1, 12, 2, stride=2), nn.BatchNorm2d(12)
        self.attention = Attention()
        self.mlp = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 24), nn.GELU(), nn.Dropout(0.1), nn.Linear(24, 12))
        self.head = nn.Linear(12, 4)

    def forward(self, x):
        x = self.stem(self.patches(x)).flatten(2).transpose(1, 2)
        x = self.attention(x)
        return self.head((x + self.mlp(x)).mean(1))


def transformer():
    return Transformer()


def data(part):
    generator = torch.Generator().manual_seed({"train": 0, "val": 1}[part])
    patterns = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(9))
    targets = torch.randint(4, (256,), generator=generator)
    return patterns[targets] + torch.randn(256, 1, 8, 8, generator=generator), targets


def broken():
    raise ValueError("no such luck")
"""


def recipe_in(folder, **changes):
    (folder / "own.py").write_text(OWN)
    given = {
        "model": {"python": "own.py:net", "args": {"width": 8}, "input": {"image": [1, 8, 8]}},
        "data": {p: {"python": "own.py:data", "args": {"part": p}, "batch": 32} for p in ("train", "val")},
        "search": {"trials": 2},
    }
    recipe = tiny(**{**given, **changes})
    return read_recipe_text(resolved_yaml(recipe_from(recipe)), str(folder / "recipe.yaml"))


def test_an_own_model_with_a_sigmoid_after_the_filters_is_cut_exactly(tmp_path):
    # sigmoid(0) = 0.5: a removed channel would still feed its consumers if their columns stayed
    outcome = flow.run(recipe_in(tmp_path), out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert outcome.status == "ok" and outcome.best.macs < outcome.reference.macs
    assert "test" not in outcome.best.metrics


def test_heads_go_where_a_forward_has_its_sizes_written_out(tmp_path):
    recipe = recipe_in(
        tmp_path,
        model={"python": "own.py:transformer", "input": {"image": [1, 8, 8]}},
        layers=[
            {"match": "attention.qkv", "scheme": {"structure": {"sparsity": 0.5}}},
            {"match": "all", "except": ["attention.qkv"], "scheme": {"structure": {"sparsity": 0.5}}},
        ],
        knobs=None,
        output={"export": ["onnx", "torch"]},
    )

    outcome = flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert outcome.status == "ok" and outcome.best.macs < 0.7 * outcome.reference.macs
    # whoever loads the files needs none of the user's code
    program = load_pt2(tmp_path / outcome.run_dir / "best" / "model.pt2")
    assert program(torch.zeros(5, 1, 8, 8)).shape == (5, 4)
    rows, columns = dict(program.named_parameters())["attention.qkv.weight"].shape
    assert rows == 18 and columns < 12  # two of four heads: queries, keys and values, each three wide


def test_python_can_be_refused(tmp_path):
    with pytest.raises(CondensaError, match="python"):
        flow.run(recipe_in(tmp_path), out=tmp_path / "runs", cache_dir=tmp_path / "cache", allow_python=False)


def test_an_error_in_the_users_code_is_theirs_with_its_line(tmp_path):
    recipe = recipe_in(tmp_path)
    model = recipe.model.model_copy(update={"python": "own.py:broken", "args": {}})
    broken = recipe.model_copy(update={"model": model})

    with pytest.raises(WorkloadError, match=r"own\.py.*no such luck"):
        flow.run(broken, out=tmp_path / "runs", cache_dir=tmp_path / "cache")
