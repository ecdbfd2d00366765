"""Small = masked, to 1e-10 in float64, for one toy model per way in which channels can be tied."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, masked, shrink

IMAGE = (2, 3, 8, 8)


def conv_bn(into, out, kernel=3, **options):
    return nn.Sequential(nn.Conv2d(into, out, kernel, padding=kernel // 2, bias=False, **options), nn.BatchNorm2d(out))


class Plain(nn.Sequential):
    def __init__(self):
        super().__init__(
            *conv_bn(3, 6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            *conv_bn(6, 8),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 7),
            nn.ReLU(),
            nn.Linear(7, 4),
        )


class Residual(nn.Module):
    """Two blocks on one stream, then a projection to a wider one."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 6)
        self.a1, self.a2 = conv_bn(6, 5), conv_bn(5, 6)
        self.b1, self.b2 = conv_bn(6, 7, stride=2), conv_bn(7, 9)
        self.project = conv_bn(6, 9, 1, stride=2)
        self.head = nn.Linear(9, 4)

    def forward(self, x):
        x = F.relu(self.stem(x), inplace=True)
        x = F.relu(self.a2(F.relu(self.a1(x))) + x)
        y = self.b2(F.relu(self.b1(x)))
        y += self.project(x)
        return self.head(F.relu(y).mean((2, 3)))


class Concatenated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 6, 1)
        self.norm, self.c, self.head = nn.BatchNorm2d(13), nn.Conv2d(13, 5, 3), nn.Linear(5, 4)

    def forward(self, x):
        x = torch.cat([self.a(x), x, self.b(x)], 1)
        return self.head(F.relu(self.c(torch.sigmoid(self.norm(x)))).amax((2, 3)))


class DepthwiseSeparable(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = conv_bn(3, 6), conv_bn(6, 6, groups=6)
        self.pointwise, self.multiplied = conv_bn(6, 8, 1), conv_bn(8, 16, groups=8)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        x = F.hardswish(self.depthwise(F.hardswish(self.stem(x))))
        return self.head(F.relu6(self.multiplied(F.relu6(self.pointwise(x))))).flatten(1)


class Flattened(nn.Module):
    """Every channel of the last map feeds 3 x 3 columns of the linear layer."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 2, stride=2)
        self.c, self.head = nn.Linear(4 * 9, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = torch.sigmoid(self.b(torch.tanh(self.a(x))))
        return self.head(F.silu(self.c(x.view(x.size(0), -1))))


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.down, self.up = conv_bn(3, 8), nn.Linear(8, 4), nn.Linear(4, 8)
        self.b, self.head = conv_bn(8, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = F.relu(self.a(x))
        gate = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        x = x * gate[:, :, None, None].expand_as(x)
        spot = torch.sigmoid(x.detach().mean((2, 3), keepdim=True))
        return self.head(F.adaptive_avg_pool2d(self.b(x * spot), 1).flatten(1))


class SharedTower(nn.Module):
    """One module called twice, and a pair of layers with one tied weight."""

    def __init__(self):
        super().__init__()
        self.tower = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3))
        self.left, self.right = nn.Linear(5, 6, bias=False), nn.Linear(5, 6)
        self.right.weight = self.left.weight
        self.again, self.head = self.tower[0], nn.Linear(6, 3)

    def forward(self, x):
        a, b = self.tower(x).mean((2, 3)), self.tower(x.flip(3)).mean((2, 3))
        a = a + self.tower[2](torch.sigmoid(self.again(x))).amax((2, 3))
        return self.head(torch.sigmoid(self.left(a)) * self.right(b))


class SigmoidBranches(nn.Module):
    """Removed channels emit sigmoid(0) = 0.5 and exp(0) = 1: nobody may read them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 1)
        self.slopes, self.head = nn.PReLU(5), nn.Linear(5, 3)

    def forward(self, x):
        x = torch.sigmoid(self.a(x)) + torch.exp(-self.b(x).abs())
        return self.head(self.slopes(self.c(x)).sum((2, 3)))


class Split(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv_bn(3, 8), conv_bn(4, 4), nn.Conv2d(8, 6, 1)
        self.d, self.head = nn.Conv2d(6, 5, 3), nn.Linear(10, 3)

    def forward(self, x):
        keep, work = self.a(x).chunk(2, dim=1)
        x = F.relu(self.c(torch.cat([keep, F.relu(self.b(work))], 1)))
        first, second = torch.split(x, x.size(1) // 2, 1)
        x = F.relu(self.d(torch.cat([first * second, first], 1)))
        return self.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))


class Shuffled(nn.Module):
    """Pixel unshuffle, pixel shuffle and both ways to write a channel shuffle."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(24, 8, 3, padding=1)
        self.c, self.d, self.e = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 8, 1), nn.Conv2d(2, 4, 1)
        self.shuffle, self.head = nn.ChannelShuffle(4), nn.Linear(4, 3)

    def forward(self, x):
        x = F.relu(self.b(F.pixel_unshuffle(F.relu(self.a(x)), 2)))
        n, channels, height, width = x.shape
        x = x.view(n, 2, channels // 2, height, width).transpose(1, 2).reshape(n, -1, height, width)
        x = F.relu(self.d(self.shuffle(F.relu(self.c(x)))))
        return self.head(torch.sigmoid(self.e(F.pixel_shuffle(x, 2))).mean((2, 3)))


class Grouped(nn.Module):
    """groups=2 shrinks within the groups, groups=4 by whole groups."""

    def __init__(self):
        super().__init__()
        self.a, self.few = conv_bn(3, 8), nn.Conv2d(8, 12, 3, groups=2)
        self.mid, self.many, self.head = nn.Conv2d(12, 8, 1), nn.Conv2d(8, 12, 3, groups=4), nn.Linear(12, 3)

    def forward(self, x):
        x = F.relu(self.few(F.relu(self.a(x))))
        return self.head(torch.sigmoid(self.many(torch.tanh(self.mid(x)))).mean((2, 3)))


class Decoder(nn.Module):
    """Transposed convolutions (plain, depthwise, grouped), resizing, glu and circular padding."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, stride=2, padding=1, padding_mode="circular")
        self.up, self.deep = nn.ConvTranspose2d(8, 6, 2, stride=2), nn.ConvTranspose2d(6, 6, 3, groups=6)
        self.few, self.gate = nn.ConvTranspose2d(6, 8, 3, groups=2), nn.Conv2d(8, 12, 1)
        self.last = nn.Conv2d(6, 2, 3)

    def forward(self, x):
        x = F.relu(self.deep(F.relu(self.up(F.relu(self.a(x))))))
        x = F.glu(self.gate(F.elu(self.few(x))), 1)
        return self.last(F.interpolate(F.pad(x, (1, 1), value=0.5), scale_factor=2.0))


class BareParameters(nn.Module):
    """Weights without modules: a functional convolution, matrix products, a scale, a buffer."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3))
        self.scale = nn.Parameter(torch.randn(6, 1, 1))
        self.matrix, self.offset = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(5))
        self.register_buffer("shift", torch.randn(1, 6, 1, 1), persistent=False)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = torch.sigmoid(F.conv2d(x, self.kernel) * self.scale + self.shift).mean((2, 3))
        x = torch.addmm(self.offset, x, self.matrix) + torch.relu(x) @ self.matrix
        return self.head(torch.relu(x))


class Sequence(nn.Module):
    """Embedding columns, 1-d convolutions, dimensions moved around the channels."""

    def __init__(self):
        super().__init__()
        self.words, self.a, self.b = nn.Embedding(11, 6), nn.Conv1d(6, 8, 3), nn.Conv1d(8, 6, 3)
        self.mix, self.head = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, tokens):
        x = self.words(tokens)
        x = x + torch.tanh(self.mix(x))
        x = F.relu(self.a(x.transpose(1, 2)))
        return self.head(F.softmax(self.b(x), -1).permute(0, 2, 1).mean(1))


MODELS = [
    Plain,
    Residual,
    Concatenated,
    DepthwiseSeparable,
    Flattened,
    SqueezeExcite,
    SharedTower,
    SigmoidBranches,
    Split,
    Shuffled,
    Grouped,
    Decoder,
    BareParameters,
    Sequence,
]


def built(cls, seed=0):
    """A double-precision model in evaluation mode in which no norm is the identity and no parameter is zero."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = cls().double().eval()
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim < 2:
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.5)
    inputs = torch.randint(0, 11, (2, 9)) if cls is Sequence else torch.randn(IMAGE, dtype=torch.float64)
    return model, (inputs,)


def random_keep(graph, generator):
    """Any number of survivors, one at least, for most families."""
    keep = {}
    for family in graph.families:
        kept = generator.integers(1, family.size + 1)
        keep[family.name] = generator.permutation(np.arange(family.size) < kept)
    return keep


@pytest.mark.parametrize("cls", MODELS)
def test_small_equals_masked_for_random_keep_sets(cls):
    model, inputs = built(cls)
    graph = analyse(model, inputs)
    generator = np.random.default_rng(1)
    assert graph.families and not graph.unknown_operators

    for _ in range(5):
        keep = random_keep(graph, generator)
        error = check_equivalence(masked(model, graph, keep), shrink(model, graph, keep), inputs)

        assert error <= 1e-10


@pytest.mark.parametrize("cls", MODELS)
def test_one_survivor_per_family_is_enough(cls):
    model, inputs = built(cls)
    graph = analyse(model, inputs)
    keep = {family.name: np.arange(family.size) == family.size // 2 for family in graph.families}

    small = shrink(model, graph, keep)

    assert check_equivalence(masked(model, graph, keep), small, inputs) <= 1e-10
    for family in graph.families:
        for member in family.members:
            lost = (family.size - 1) * member.index.shape[1]
            assert (
                dict(small.state_dict(keep_vars=True), **dict(small.named_buffers()))[member.name].shape[member.dim]
                <= graph.shapes[member.name][member.dim] - lost
            )


@pytest.mark.parametrize("cls", MODELS)
def test_every_single_unit_can_go(cls):
    # given an oracle beside `masked`: only consumers are zeroed, by hand; what a removed channel emits must not matter
    model, inputs = built(cls)
    graph = analyse(model, inputs)

    for family in graph.families:
        for unit in range(family.size):
            keep = {family.name: np.arange(family.size) != unit}
            blind = copy.deepcopy(model)
            tensors = dict(blind.named_parameters()) | dict(blind.named_buffers())
            for member in family.members:
                if member.side == "consumes":
                    tensors[member.name].data.index_fill_(member.dim, torch.from_numpy(member.index[unit]), 0)

            assert check_equivalence(blind, shrink(model, graph, keep), inputs) <= 1e-10


@pytest.mark.parametrize("cls", MODELS)
def test_every_layer_but_the_last_is_prunable(cls):
    model, inputs = built(cls)

    graph = analyse(model, inputs)

    last = {layer.name for layer in graph.layers if "last" in layer.roles}
    assert {frozen.layer for frozen in graph.frozen} == last
