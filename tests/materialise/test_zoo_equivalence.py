"""Every built-in model: all its layers but the last are prunable, and cutting them is exact down to one channel."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from condensa_core.graph import analyse, count_macs
from condensa_core.materialise import check_equivalence, masked, shrink
from condensa_core.workload.zoo import ZOO, zoo_model


@cache
def prepared(name):
    """The model in double precision with random norms (so that no norm is the identity), its input and its graph."""
    torch.manual_seed(0)
    shape = (1, 28, 28) if name.startswith("lenet") else (3, 32, 32)
    model = zoo_model(name, 10, shape, {}).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.uniform_(0.5, 1.5)
    inputs = (torch.randn(2, *shape, dtype=torch.float64),)
    return model, inputs, analyse(model, inputs)


@pytest.mark.parametrize("name", ZOO)
def test_builtin_models_shrink_exactly(name):
    # given
    model, inputs, graph = prepared(name)
    generator = np.random.default_rng(0)
    sizes = {family.name: family.size for family in graph.families}
    single = {family: generator.permutation(size) == 0 for family, size in sizes.items()}
    mixed = {family: generator.permutation(size) < generator.integers(1, size + 1) for family, size in sizes.items()}

    for keep in (single, mixed):
        # when
        small = shrink(model, graph, keep)

        # then
        assert check_equivalence(masked(model, graph, keep), small, inputs) <= 1e-10
        assert sum(p.numel() for p in small.parameters()) < graph.parameters
        assert count_macs(small, inputs) < graph.macs
    # and one channel per layer is one channel per layer
    for layer in shrink(model, graph, single).modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.out_channels == layer.weight.shape[0] == 1


@pytest.mark.parametrize("name", ZOO)
def test_only_the_output_layer_is_frozen(name):
    model, inputs, graph = prepared(name)

    last = {layer.name for layer in graph.layers if "last" in layer.roles}
    assert len(last) == 1 and not graph.unknown_operators
    assert {frozen.layer for frozen in graph.frozen} == last
    prunable = {layer for family in graph.families for layer in family.layers}
    weighted = {n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    assert prunable == weighted - last
    assert sum(layer.macs for layer in graph.layers) == graph.macs == count_macs(model, inputs)
