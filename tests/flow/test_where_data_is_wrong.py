"""Mistakes in one part of the user's data lead to its line of the recipe."""

import pytest

from condensa_core.errors import WorkloadError
from condensa_core.flow.workbench import bound
from condensa_core.recipe import read_recipe

SPLIT = """\
condensa: 1
name: own
model: {python: own.py:net}
data:
  train: {python: own.py:data, args: {part: train}}
  val: {python: own.py:data, args: {part: val}}
  test: {python: own.py:data, args: {part: test}}
layers: [{match: all, scheme: {filter: {}}}]
constraint: {metric: top1, max_drop: 90pp}
objective: {minimize: macs}
"""
OWN = """
import torch
from torch import nn


def net():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def data(part):
    inputs, targets = torch.randn(32, 4), torch.arange(32) % 3
    return {given}
"""


@pytest.mark.parametrize(
    ("given", "line", "message"),
    [
        ('inputs, targets - int(part == "val")', 6, "data.val .* the class number -1"),
        ('inputs, targets + 9 * (part == "test")', 7, "data.test holds class 11, the model knows 3 classes"),
        ('(inputs, targets) if part != "val" else lost', 6, "own.py:data failed"),
        ("inputs, targets, part", 5, "data.train .* gives a Tensor where"),
    ],
)
def test_the_line_is_that_of_the_part(tmp_path, given, line, message):
    (tmp_path / "own.py").write_text(OWN.replace("{given}", given))
    (tmp_path / "r.yaml").write_text(SPLIT)

    with pytest.raises(WorkloadError, match=message) as refused:
        bound(read_recipe(tmp_path / "r.yaml"))

    assert refused.value.place.line == line
