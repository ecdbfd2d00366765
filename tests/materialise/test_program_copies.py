"""A program that is copied or pickled stays one: trainable, in its mode, independent of where it came from."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from condensa_core.errors import NotEquivalent
from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, cut_program
from condensa_core.materialise.program import Program

_INPUTS = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)


def _program() -> Program:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Flatten(), nn.Linear(288, 3)
    ).eval()
    graph = analyse(model, _INPUTS)
    return cut_program(model, graph, {"0": np.arange(8) % 2 == 0})


def _pickled(program: Program) -> Program:
    return pickle.loads(pickle.dumps(program))


# torch 2.13 warns about its own pickles
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, _pickled])
@pytest.mark.parametrize("training", [False, True])
def test_a_duplicate_computes_the_same_in_either_mode(duplicate: Callable[[Program], Program], training: bool) -> None:
    program = _program().train(training)
    twin = duplicate(program)
    assert isinstance(twin, Program)
    assert twin.training is program.training is training
    assert check_equivalence(program, twin, _INPUTS) == 0.0
    dropped = [not torch.equal(one(*_INPUTS), one(*_INPUTS)) for one in (program, twin)]
    assert dropped == [training, training]
    twin.train(not training)
    assert torch.equal(program(*_INPUTS), program(*_INPUTS)) is not training


def test_a_model_without_tensor_outputs_cannot_be_checked() -> None:
    class Silent(nn.Module):
        def forward(self, x: torch.Tensor) -> list[float]:
            return []

    with pytest.raises(NotEquivalent, match="returns no tensor"):
        check_equivalence(Silent(), Silent(), _INPUTS)


def test_any_error_of_the_smaller_forward_names_the_layer() -> None:
    class Table(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return {3: x}[x.shape[1]]

    class Fine(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(NotEquivalent, match="does not run, in 0"):
        check_equivalence(nn.Sequential(Fine()), nn.Sequential(Table()), (torch.ones(2, 4),))
