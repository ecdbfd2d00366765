"""A user's own model and data, and what happens when they are wrong."""

import pytest
from tiny_recipe import tiny

from condensa_core import flow
from condensa_core.errors import CondensaError, WorkloadError
from condensa_core.recipe import read_recipe_text, recipe_from, resolved_yaml

OWN = """
import torch
from torch import nn


def net(width=8):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.Sigmoid(),
        nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(width * 16, 4),
    )


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
    recipe = tiny(
        model={"python": "own.py:net", "args": {"width": 8}, "input": {"image": [1, 8, 8]}},
        data={p: {"python": "own.py:data", "args": {"part": p}, "batch": 32} for p in ("train", "val")},
        search={"trials": 2},
        **changes,
    )
    return read_recipe_text(resolved_yaml(recipe_from(recipe)), str(folder / "recipe.yaml"))


def test_an_own_model_with_a_sigmoid_after_the_filters_is_cut_exactly(tmp_path):
    # sigmoid(0) = 0.5: a removed channel would still feed its consumers if their columns stayed
    outcome = flow.run(recipe_in(tmp_path), out=tmp_path / "runs", cache_dir=tmp_path / "cache")

    assert outcome.status == "ok" and outcome.best.macs < outcome.reference.macs
    assert "test" not in outcome.best.metrics


def test_python_can_be_refused(tmp_path):
    with pytest.raises(CondensaError, match="python"):
        flow.run(recipe_in(tmp_path), out=tmp_path / "runs", cache_dir=tmp_path / "cache", allow_python=False)


def test_an_error_in_the_users_code_is_theirs_with_its_line(tmp_path):
    recipe = recipe_in(tmp_path)
    model = recipe.model.model_copy(update={"python": "own.py:broken", "args": {}})
    broken = recipe.model_copy(update={"model": model})

    with pytest.raises(WorkloadError, match=r"own\.py.*no such luck"):
        flow.run(broken, out=tmp_path / "runs", cache_dir=tmp_path / "cache")
