"""Roles, followers and costs of layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from condensa_core.graph import analyse, count_macs

IMAGES = (torch.randn(2, 3, 8, 8),)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.narrow, self.wide = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.left, self.right = nn.Conv2d(8, 6, 3, stride=2, padding=1, groups=2), nn.Conv2d(6, 6, 3, padding=1)
        self.shortcut = nn.Conv2d(8, 6, 1, stride=2)
        self.even, self.odd, self.same = nn.Conv2d(6, 5, 3), nn.Conv2d(5, 5, 1), nn.Conv2d(6, 5, 3)
        self.heads = nn.ModuleList([nn.Linear(5, 4), nn.Linear(5, 2)])

    def forward(self, x):
        x = self.act(self.norm(self.stem(x)))
        x = x + self.wide(self.narrow(self.depthwise(x)))
        x = self.right(F.relu(self.left(x))) + self.shortcut(x)
        x = (self.odd(F.relu(self.even(x))) + self.same(x)).mean((2, 3))
        return [head(x) for head in self.heads]


def test_roles():
    graph = analyse(Network(), IMAGES)

    roles = {layer.name: set(layer.roles) for layer in graph.layers if layer.roles}
    assert roles == {
        "stem": {"first"},
        "depthwise": {"depthwise"},
        "narrow": {"pointwise"},
        "wide": {"pointwise"},
        "shortcut": {"pointwise", "downsample"},
        "odd": {"pointwise"},
        "same": {"downsample"},
        "heads.0": {"last"},
        "heads.1": {"last"},
    }


def test_followers_and_shapes():
    graph = analyse(Network(), IMAGES)

    assert graph.layer("stem").next_type == "BatchNorm2d" and graph.layer("norm").next_type == "ReLU"
    assert graph.layer("left").next_type is None  # a function follows
    assert graph.layer("left").output_shape == (6, 4, 4) and graph.layer("heads.1").output_shape == (2,)
    assert graph.layer("left").parameters == {"weight": (6, 4, 3, 3), "bias": (6,)}
    assert [layer.name for layer in graph.layers][:4] == ["stem", "norm", "depthwise", "narrow"]
    assert "ReLU" not in {layer.type for layer in graph.layers}


def test_macs_are_those_of_the_formulas():
    # by hand: positions x kernel x channels in per group x channels out
    expected = {
        "stem": 64 * 9 * 3 * 8,
        "norm": 0,
        "depthwise": 64 * 9 * 1 * 8,
        "narrow": 64 * 8 * 4,
        "wide": 64 * 4 * 8,
        "left": 16 * 9 * 4 * 6,
        "right": 16 * 9 * 6 * 6,
        "shortcut": 16 * 8 * 6,
        "even": 4 * 9 * 6 * 5,
        "odd": 4 * 5 * 5,
        "same": 4 * 9 * 6 * 5,
        "heads.0": 20,
        "heads.1": 10,
    }

    graph = analyse(Network(), IMAGES)

    assert {layer.name: layer.macs for layer in graph.layers} == expected
    assert graph.macs == sum(expected.values())
    assert graph.parameters == sum(p.numel() for p in Network().parameters())


@pytest.mark.parametrize("batch", [2, 5])
def test_macs_are_per_sample_and_count_every_call(batch):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.shared = nn.ConvTranspose2d(3, 6, 2, stride=2, groups=3), nn.Linear(6, 6)
            self.matrix = nn.Parameter(torch.randn(6, 4))

        def forward(self, x):
            x = self.up(x).mean((2, 3))
            return self.shared(self.shared(x)) @ self.matrix

    model, inputs = Twice(), (torch.randn(batch, 3, 4, 4),)

    graph = analyse(model, inputs)

    assert graph.layer("shared").macs == 2 * 36
    assert graph.layer("up").macs == 16 * 4 * 3 * 2
    assert graph.macs == count_macs(model, inputs) == 2 * 36 + 16 * 4 * 3 * 2 + 24


def test_embedding_and_shared_layers():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.shared = nn.Embedding(7, 4), nn.Linear(4, 4)
            self.again, self.out = self.shared, nn.Linear(4, 2)

        def forward(self, tokens):
            return self.out(self.again(self.shared(self.table(tokens)).tanh()))

    graph = analyse(Words(), (torch.randint(0, 7, (2, 5)),))

    assert [layer.name for layer in graph.layers] == ["table", "shared", "out"]
    assert graph.layer("table").roles == {"first", "embedding"}
    assert graph.layer("shared").macs == 2 * 5 * 16


class Attending(nn.Module):
    """Attention as torch writes it, with time first or last, and a layer of times without the batch."""

    def __init__(self, batch_first):
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.mix = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.rnn, self.head = nn.LSTM(8, 5, batch_first=batch_first), nn.Linear(5, 3)
        self.batch_first = batch_first

    def forward(self, x):
        x = self.embed(x if self.batch_first else x.transpose(0, 1))
        x = self.rnn(self.mix(x, x, x)[0])[0]
        return self.head(x.mean(1 if self.batch_first else 0))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("batch", [2, 7])
def test_layers_that_are_more_than_one_operator_tell_what_they_return_and_their_own_macs(batch_first, batch):
    graph = analyse(Attending(batch_first), (torch.randn(batch, 7, 6),))

    assert {layer.name: layer.output_shape for layer in graph.layers} == {
        "embed": (7, 8),
        "mix": (7, 8),
        "mix.out_proj": (7, 8),
        "rnn": (7, 5),
        "head": (3,),
    }
    assert {layer.name: layer.macs for layer in graph.layers} == {
        "embed": 7 * 6 * 8,
        "mix": 7 * 8 * 3 * 8 + 2 * 7 * 7 * 8,  # three projections, then q k^T and its product with v
        "mix.out_proj": 7 * 8 * 8,
        "rnn": 7 * 4 * 5 * (8 + 5),
        "head": 5 * 3,
    }
    assert graph.macs == sum(layer.macs for layer in graph.layers)


def test_the_macs_of_layers_inside_a_layer_are_counted_once():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.inner = nn.Parameter(torch.ones(6)), nn.Linear(4, 6)

        def forward(self, x):
            return self.inner(x) * self.scale

    graph = analyse(nn.Sequential(Scaled(), nn.Linear(6, 2)), (torch.randn(2, 4),))

    assert {layer.name: layer.macs for layer in graph.layers} == {"0": 0, "0.inner": 24, "1": 12}


def test_graphs_and_families_print_in_one_line():
    graph = analyse(nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2)), (torch.randn(2, 4),))

    assert repr(graph) == "<ModelGraph: 3 layers, 1 family, 1 frozen, 56 parameters, 36 MACs>"
    assert repr(graph.families[0]) == "<Family '0': 6 units (channel) of 0, averaged by layer_norm>"
