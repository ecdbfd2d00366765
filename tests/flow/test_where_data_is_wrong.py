"""Mistakes in one part of the user's data lead to its line of the recipe."""

import pytest

from condensa_core.errors import PlanError, WorkloadError
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


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("compress: {l_step: {batch: 7}}", 11),
        ("reference: {train: {batch: 7}}", 11),
        ("compress: {l_step: {batch: 8}}", 0),
    ],
)
def test_a_batch_that_the_users_loader_does_not_give_is_refused_before_training(tmp_path, asked, line):
    loader = "torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), batch_size=8)"
    (tmp_path / "own.py").write_text(OWN.replace("{given}", loader))
    (tmp_path / "r.yaml").write_text(f"{SPLIT.replace('filter', 'neuron')}{asked}\n")

    if line:
        with pytest.raises(WorkloadError, match="gives batches of 8, so a batch of 7 cannot be had") as refused:
            bound(read_recipe(tmp_path / "r.yaml"))
        assert refused.value.place.line == line
    else:
        bound(read_recipe(tmp_path / "r.yaml"))


def test_a_gate_on_a_part_that_a_data_set_does_not_bring_is_refused_before_training(tmp_path):
    (tmp_path / "own.py").write_text(OWN.replace("{given}", "inputs, targets"))
    for part, count in (("train", 900), ("valid", 90)):
        (tmp_path / f"{part}.txt").write_text("some words, and more of them. " * count)
    (tmp_path / "r.yaml").write_text(
        "condensa: 1\nmodel: {builtin: lstm-lm}\ntask: language-model\ndata: {builtin: text, path: ., length: 8}\n"
        "layers: [{match: all, scheme: {prune: {}}}]\nconstraint: {metric: loss, max_rise: 5%}\n"
        "objective: {minimize: size.packed}\ngates:\n  - {metric: loss, at_most: 9, split: test}\n"
    )

    with pytest.raises(PlanError, match="reads the split 'test', and the data has none") as refused:
        bound(read_recipe(tmp_path / "r.yaml"))

    assert refused.value.place.line == 9
