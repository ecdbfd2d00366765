"""The equality check against errors made on purpose: one wrong index in one map of kept positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from index_errors import ROUTES, plant_error
from random_networks import Program, RandomNetwork, random_program
from torch import nn

from condensa_core.errors import NotEquivalent
from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, cut_program, reference


@pytest.mark.parametrize("route", ROUTES)
def test_every_error_that_changes_the_function_is_caught(route):
    fates = []
    for seed in range(6):
        generator = np.random.default_rng([seed, ROUTES.index(route)])
        planted = plant_error(RandomNetwork(random_program(generator)), route, generator)
        fates.append(None if planted is None else planted.fate)

    assert "missed" not in fates
    assert fates.count("caught") >= 3, fates


# every tensor of a chain of layers that hides nothing: each of its members matters, in each of its positions
CHAIN = Program("image", (("Convolution", 0), ("BatchNorm", 0), ("Activation", 1), ("FlatLinear", 0)), seed=4)


def test_a_swap_in_any_single_tensor_is_caught():
    # given a right cut, in which two neighbouring units of one tensor are exchanged afterwards
    network = RandomNetwork(CHAIN)
    inputs = network.example_inputs()
    graph = analyse(network, inputs)
    keep = {family.name: np.arange(family.size) < 3 for family in graph.families}
    expected = reference(network, graph, keep)

    members = [member for family in graph.families for member in family.members]
    assert len(members) >= 9
    for member in members:
        small = cut_program(network, graph, keep)
        tensor = dict([*small.named_parameters(), *small.named_buffers()])[member.name]
        order = torch.tensor([1, 0, *range(2, tensor.shape[member.dim])])
        with torch.no_grad():
            tensor.copy_(tensor.index_select(member.dim, order))

        # then
        with pytest.raises(NotEquivalent, match="differs from the masked one"):
            check_equivalence(expected, small, inputs)


def test_a_value_off_by_a_millionth_is_caught_and_rounding_is_not():
    network = RandomNetwork(CHAIN)
    inputs = network.example_inputs()
    graph = analyse(network, inputs)
    keep = {family.name: np.arange(family.size) < 3 for family in graph.families}
    expected, small = reference(network, graph, keep), cut_program(network, graph, keep)

    assert check_equivalence(expected, small, inputs) <= 1e-14

    weight = next(p for p in small.parameters() if p.ndim == 4)
    _scaled(weight, 1 + 1e-15)
    assert check_equivalence(expected, small, inputs) <= 1e-13
    _scaled(weight, 1 + 1e-6)
    with pytest.raises(NotEquivalent):
        check_equivalence(expected, small, inputs)


def _scaled(weight: nn.Parameter, factor: float) -> None:
    with torch.no_grad():
        weight.mul_(factor)
