"""Training goes on over the cut model as it would have over the survivors."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from condensa_core.errors import SchemeError
from condensa_core.graph import analyse
from condensa_core.materialise import carry_over, cut_program, masked, shrink

IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.arange(8) % 3


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)
    ).double()


def step(model, optimizer):
    optimizer.zero_grad()
    F.cross_entropy(model(IMAGES), TARGETS).backward()
    optimizer.step()


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5),
}


@pytest.mark.parametrize("route", [shrink, cut_program])
@pytest.mark.parametrize("kind", list(OPTIMIZERS))
def test_steps_on_the_smaller_model_are_those_on_the_survivors(kind, route):
    # given a model that has been trained for a while, with two units of each layer masked since
    model = network()
    graph = analyse(model, (IMAGES,))
    optimizer = OPTIMIZERS[kind](model.parameters())
    for _ in range(3):
        step(model, optimizer)
    keep = {"0": np.array([1, 0, 1, 1, 0, 1], bool), "2": np.array([0, 1, 1, 0, 1], bool)}
    zeroed = masked(model, graph, keep)
    small = route(zeroed, graph, keep)
    alike = OPTIMIZERS[kind](zeroed.parameters())
    alike.load_state_dict(copy.deepcopy(optimizer.state_dict()))

    # when both go on (removed slices of the masked model are held at zero)
    carried = carry_over(optimizer, model, small, graph, keep)
    for _ in range(3):
        step(small, carried)
        step(zeroed, alike)
        zeroed.load_state_dict(masked(zeroed, graph, keep).state_dict())

    # then
    expected = dict(shrink(zeroed, graph, keep).named_parameters())
    for name, parameter in small.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-12, atol=1e-14)


def test_settings_of_every_group_are_kept_and_nothing_is_shared():
    model = network()
    graph = analyse(model, (IMAGES,))
    groups = [{"params": [model[0].weight], "lr": 0.5}, {"params": [model[5].weight], "weight_decay": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    step(model, optimizer)
    keep = {"0": np.arange(6) < 2}
    small = shrink(model, graph, keep)

    carried = carry_over(optimizer, model, small, graph, keep)

    assert [(g["lr"], g["weight_decay"]) for g in carried.param_groups] == [(0.5, 0), (0.1, 0.1)]
    assert carried.param_groups[0]["params"][0] is small[0].weight
    momentum = carried.state[small[0].weight]["momentum_buffer"]
    assert torch.equal(momentum, optimizer.state[model[0].weight]["momentum_buffer"][:2])
    momentum.zero_()
    assert optimizer.state[model[0].weight]["momentum_buffer"].abs().sum() > 0


def test_an_optimizer_of_another_model_is_refused():
    model = network()
    graph = analyse(model, (IMAGES,))
    other = torch.optim.SGD(network().parameters(), lr=0.1)

    with pytest.raises(SchemeError, match="does not have"):
        carry_over(other, model, model, graph, {})
