"""The ways in which channels meet, as blocks that fit together: what random networks are built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Choice = TypeVar("Choice")
Shape = tuple[int, ...]

MOST_CHANNELS: Final = 24


class Choices:
    """The decisions that a number spells, as the digits of a mixed radix; 0 spells the first option each time."""

    def __init__(self, number: int) -> None:
        self._rest = number

    def of(self, *options: Choice) -> Choice:
        self._rest, digit = divmod(self._rest, len(options))
        return options[digit]


class Block(nn.Module):
    """One step of a network: it takes some of the values so far and makes one or several new ones.

    Values are images (batch, channels, height, width), sequences (batch, positions, channels) or vectors (batch,
    channels), told apart by their rank.
    """

    operands: ClassVar[int] = 1
    ranks: ClassVar[tuple[int, ...]] = (2, 3, 4)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        """Whether these (or, of several operands, the first ones) can be operands."""
        return True


def channels_of(shape: Shape) -> int:
    return shape[1] if len(shape) == 4 else shape[-1]


def channel_dim(shape: Shape) -> int:
    return 1 if len(shape) == 4 else len(shape) - 1


def divisors(number: int) -> list[int]:
    """Those above 1."""
    return [d for d in range(2, number + 1) if number % d == 0]


def along_channels(tensor: Tensor, rank: int) -> Tensor:
    """A vector over channels, so that it broadcasts over a value of that rank."""
    return tensor[:, None, None] if rank == 4 else tensor


def channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def channels_back(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


class Convolution(Block):
    ranks = (4,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        kernel = choices.of(1, 3)
        stride = choices.of(1, 1, 2)
        self.conv = nn.Conv2d(x[1], choices.of(4, 6, 3, 8), kernel, stride, kernel // 2, bias=choices.of(True, False))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class GroupedConvolution(Block):
    ranks = (4,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return shapes[0][1] > 1

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        groups = choices.of(*divisors(x[1]))
        out = groups * choices.of(1, 2, 3) if groups <= 8 else groups
        self.conv = nn.Conv2d(x[1], out, 3, padding=1, groups=groups, bias=choices.of(True, False))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TransposedConvolution(Block):
    ranks = (4,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return shapes[0][2] <= 4

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        groups = choices.of(1, *divisors(x[1]))
        out = choices.of(4, 6, 3) if groups == 1 else groups * choices.of(1, 2) if groups <= 6 else groups
        kernel, stride = choices.of((3, 1), (2, 2))
        self.conv = nn.ConvTranspose2d(
            x[1], out, kernel, stride, kernel - 1 - kernel // 2 if stride == 1 else 0, groups=groups
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class ComputedConvolution(Block):
    """A weight that is computed first: element by element, or less its mean over the channels that it reads."""

    ranks = (4,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.conv = nn.Conv2d(x[1], choices.of(4, 6), 3, padding=1)
        self.kind = choices.of("bounded", "positive", "centred", "normed")

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv.weight
        if self.kind == "centred":
            weight = weight - weight.mean((1, 2, 3), keepdim=True)
        elif self.kind == "normed":
            weight = weight / weight.flatten(1).norm(dim=1)[:, None, None, None]
        else:
            weight = weight.tanh() if self.kind == "bounded" else weight.exp()
        return F.conv2d(x, weight, self.conv.bias, padding=1)


class Linear(Block):
    ranks = (2, 3)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.linear = nn.Linear(x[-1], choices.of(6, 4, 3, 8), bias=choices.of(True, False))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Residual(Block):
    """x + outer(act(norm(inner(x)))), for the layers that suit the value."""

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        channels, width = channels_of(x), choices.of(4, 6)
        if len(x) == 4:
            self.inner: nn.Module = nn.Conv2d(channels, width, 3, padding=1)
            self.norm: nn.Module = nn.BatchNorm2d(width)
            self.outer: nn.Module = nn.Conv2d(width, channels, 1)
        else:
            self.inner, self.norm = nn.Linear(channels, width), nn.Identity()
            self.outer = nn.Linear(width, channels)
        self.act = choices.of(*ACTIVATIONS)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(self.act(self.norm(self.inner(x))))


class GatedUnit(Block):
    """act(gate(x)) * up(x), by two layers or by the halves of one."""

    ranks = (2, 3)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        width, self.fused = choices.of(4, 6), choices.of(False, True)
        self.gate = nn.Linear(x[-1], 2 * width if self.fused else width)
        self.up = None if self.fused else nn.Linear(x[-1], width)
        self.down = nn.Linear(width, x[-1])

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.glu(self.gate(x), -1) if self.up is None else F.silu(self.gate(x)) * self.up(x)
        return self.down(hidden)


class Einsum(Block):
    """A layer written as a contraction."""

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.first = choices.of(True, False)
        shape = (choices.of(4, 6), channels_of(x))
        self.weight = nn.Parameter(torch.empty(shape if self.first else shape[::-1]))

    def forward(self, x: Tensor) -> Tensor:
        into, out = {2: ("nc", "no"), 3: ("ntc", "nto"), 4: ("nchw", "nohw")}[x.ndim]
        return torch.einsum(f"{into},{'oc' if self.first else 'co'}->{out}", x, self.weight)


class TiedLayers(Block):
    """One matrix to and fro, as a parameter read twice or as two layers that share it."""

    ranks = (2, 3)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.down = nn.Linear(x[-1], choices.of(4, 6))
        self.up = nn.Linear(x[-1], self.down.out_features)
        self.transposed = choices.of(True, False)
        if not self.transposed:
            self.up.weight = self.down.weight

    def forward(self, x: Tensor) -> Tensor:
        if self.transposed:
            return F.linear(F.gelu(self.down(x)), self.down.weight.t()) + self.up.bias.mean()
        return self.down(x) * torch.sigmoid(self.up(x))


class Recurrent(Block):
    ranks = (3,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        kind = choices.of(nn.GRU, nn.LSTM)
        settings: dict[str, Any] = {"batch_first": True, "num_layers": choices.of(1, 2)}
        settings["bidirectional"] = choices.of(False, True)
        settings["bias"] = choices.of(True, True, False)
        if kind is nn.LSTM:
            settings["proj_size"] = choices.of(0, 0, 2)
        self.cells = kind(x[-1], choices.of(4, 3), **settings)
        self.state = choices.of("none", "last", "added")

    def forward(self, x: Tensor) -> Tensor:
        out, state = self.cells(x)
        last = state[0] if isinstance(state, tuple) else state
        if self.state == "last":
            return last[-1]
        if self.state == "added" and out.shape[-1] == last.shape[-1]:
            return out + last[-1][:, None]
        return out


class Attention(Block):
    """Written by hand: three projections or one, heads by views, weights by softmax or the fused operator."""

    ranks = (3,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.heads, self.width = choices.of(2, 3, 1), choices.of(2, 3)
        self.layout = choices.of("separate", "chunked", "stacked")
        self.written_out, self.fused = choices.of(False, True), choices.of(False, True)
        inner = self.heads * self.width
        bias = choices.of(True, False)
        if self.layout == "separate":
            self.q, self.k, self.v = (nn.Linear(x[-1], inner, bias=bias) for _ in range(3))
        else:
            self.qkv = nn.Linear(x[-1], 3 * inner, bias=bias)
        self.out = nn.Linear(inner, x[-1])
        self.table = nn.Parameter(torch.empty(self.heads, x[1], x[1])) if choices.of(False, True) else None

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        if self.layout == "stacked":
            heads = self.heads if self.written_out else -1
            q, k, v = self.qkv(x).reshape(n, t, 3, heads, self.width).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            parts = [self.q(x), self.k(x), self.v(x)] if self.layout == "separate" else self.qkv(x).chunk(3, -1)
            heads = self.heads if self.written_out else -1
            q, k, v = (part.view(n, t, heads, self.width).transpose(1, 2) for part in parts)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self.table)
        else:
            scores = q @ k.transpose(-2, -1) / self.width**0.5
            mixed = (scores if self.table is None else scores + self.table).softmax(-1) @ v
        joined = mixed.transpose(1, 2)
        return self.out(joined.reshape(n, t, self.heads * self.width) if self.written_out else joined.flatten(2))


class GroupedQueries(Block):
    """Several heads of queries read one head of keys and values, which is repeated in one of the usual ways."""

    ranks = (3,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.groups, self.times, self.width = choices.of(2, 3), choices.of(2, 1), choices.of(2, 3)
        self.repeat = choices.of("interleave", "expand", "fused", "tile")
        self.written_out = choices.of(False, True)
        self.q = nn.Linear(x[-1], self.groups * self.times * self.width)
        self.k = nn.Linear(x[-1], self.groups * self.width)
        self.v = nn.Linear(x[-1], self.groups * self.width)
        self.out = nn.Linear(self.q.out_features, x[-1])

    def _repeated(self, x: Tensor) -> Tensor:
        if self.repeat == "interleave":
            return x.repeat_interleave(self.times, 1)
        if self.repeat == "tile":
            return x.repeat(1, self.times, 1, 1)
        n, groups, t, width = x.shape
        return x[:, :, None].expand(n, groups, self.times, t, width).reshape(n, -1, t, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        heads = self.groups * self.times if self.written_out else -1
        q = self.q(x).view(n, t, heads, self.width).transpose(1, 2)
        k, v = (layer(x).view(n, t, -1, self.width).transpose(1, 2) for layer in (self.k, self.v))
        if self.repeat == "fused":
            mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        else:
            k, v = self._repeated(k), self._repeated(v)
            keys = k.mT if self.written_out else k.transpose(-2, -1)
            mixed = (q @ keys * self.width**-0.5).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


class EinsumAttention(Block):
    """Heads as dimensions of the weights themselves."""

    ranks = (3,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        heads, width = choices.of(2, 3), choices.of(2, 3)
        self.q, self.k, self.v = (nn.Parameter(torch.empty(x[-1], heads, width)) for _ in range(3))
        self.out = nn.Parameter(torch.empty(heads, width, x[-1]))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("ntc,chd->nthd", x, weight) for weight in (self.q, self.k, self.v))
        scores = torch.einsum("nqhd,nkhd->nhqk", q, k).softmax(-1)
        return torch.einsum("nqhd,hdc->nqc", torch.einsum("nhqk,nkhd->nqhd", scores, v), self.out)


class ModuleAttention(Block):
    """`nn.MultiheadAttention`, of one sequence or across two."""

    operands = 2
    ranks = (3,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return shapes[0][-1] % 2 == 0

    def __init__(self, choices: Choices, x: Shape, y: Shape) -> None:
        super().__init__()
        heads = choices.of(2, 1, *(d for d in divisors(x[-1]) if d > 2))
        self.attention = nn.MultiheadAttention(x[-1], heads, kdim=y[-1], vdim=y[-1], batch_first=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.attention(x, y, y, need_weights=False)[0]


class EncoderLayer(Block):
    """`nn.TransformerEncoderLayer`, norms before or after."""

    ranks = (3,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return shapes[0][-1] % 2 == 0

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            x[-1], 2, choices.of(6, 4), activation=choices.of("relu", "gelu"), batch_first=True,
            norm_first=choices.of(False, True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class LinearAttention(Block):
    """softmax(q) (softmax(k)^T v): positions are contracted before channels."""

    ranks = (3,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        width = choices.of(4, 3)
        self.q, self.k, self.v = (nn.Linear(x[-1], width) for _ in range(3))
        self.act = choices.of(torch.relu, partial_softmax, torch.exp)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.act(self.q(x)), self.k(x).softmax(1), self.v(x)
        return q @ (k.mT @ v)


def partial_softmax(x: Tensor) -> Tensor:
    return x.softmax(-1)


class BatchNorm(Block):
    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        kind = nn.BatchNorm2d if len(x) == 4 else nn.BatchNorm1d
        self.norm = kind(channels_of(x), affine=choices.of(True, True, False))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.mT).mT if x.ndim == 3 else self.norm(x)


class InstanceNorm(Block):
    ranks = (3, 4)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return shapes[0][-1 if len(shapes[0]) == 4 else 1] > 1

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        kind = nn.InstanceNorm2d if len(x) == 4 else nn.InstanceNorm1d
        affine, tracked = choices.of((True, False), (False, False), (True, True))
        self.norm = kind(channels_of(x), affine=affine, track_running_stats=tracked)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.mT).mT if x.ndim == 3 else self.norm(x)


class GroupNorm(Block):
    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return channels_of(shapes[0]) > 1

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        channels = channels_of(x)
        groups = choices.of(*(d for d in divisors(channels) if d < channels), 1)
        self.norm = nn.GroupNorm(groups, channels, affine=choices.of(True, True, False))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.mT).mT if x.ndim == 3 else self.norm(x)


class LastNorm(Block):
    """LayerNorm or RMSNorm over channels, with the channels last."""

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        kind, affine = choices.of(nn.LayerNorm, nn.RMSNorm), choices.of(True, True, False)
        self.norm = kind(channels_of(x), elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        return channels_back(self.norm(channels_last(x)))


class WrittenNorm(Block):
    """Norms over channels as people write them."""

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.dim = channel_dim(x)
        self.kind = choices.of("rms", "layer", "unit", "normalize", "response")
        self.scale, self.shift = (nn.Parameter(torch.empty(channels_of(x))) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = (along_channels(p, x.ndim) for p in (self.scale, self.shift))
        if self.kind == "rms":
            return x * torch.rsqrt(x.pow(2).mean(self.dim, keepdim=True) + 1e-3) * scale
        if self.kind == "layer":
            centred = x - x.mean(self.dim, keepdim=True)
            return centred / torch.sqrt(x.var(self.dim, keepdim=True, unbiased=False) + 1e-3) * scale + shift
        if self.kind == "unit":
            return x / (x.norm(dim=self.dim, keepdim=True) + 0.1)
        if self.kind == "normalize":
            return F.normalize(x, dim=self.dim, eps=1e-2) * scale
        energy = x.pow(2).mean(tuple(d for d in range(1, x.ndim) if d != self.dim), keepdim=True).sqrt()
        return x + scale * x * energy / (energy.mean(self.dim, keepdim=True) + 1e-2) + shift


def _shifted_tanh(x: Tensor) -> Tensor:
    return torch.tanh(x * 0.7 + 0.3)


def _swish_by_hand(x: Tensor) -> Tensor:
    return x * x.sigmoid()


def _clipped_inplace(x: Tensor) -> Tensor:
    return F.hardtanh(x.clone(), -0.2, 0.9, inplace=True).add_(0.1)


ACTIVATIONS: Final[tuple[Callable[[Tensor], Tensor], ...]] = (
    F.leaky_relu, torch.sigmoid, torch.cos, F.relu, F.gelu, F.softplus, F.hardswish, F.elu, F.silu, F.hardsigmoid,
    _shifted_tanh, _swish_by_hand, _clipped_inplace,
)  # fmt: skip


class Activation(Block):
    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.act = choices.of(*ACTIVATIONS)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


class Slopes(Block):
    """PReLU with a slope for each channel."""

    ranks = (2, 4)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.act = nn.PReLU(channels_of(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


class Scale(Block):
    """Tensors used directly: layer scale, shift, a buffer, a tensor that the forward merely holds."""

    table: Tensor

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.kind = choices.of("scale", "shift", "both", "buffer", "constant")
        channels = channels_of(x)
        self.scale, self.shift = (nn.Parameter(torch.empty(channels)) for _ in range(2))
        self.register_buffer("table", torch.linspace(0.4, 1.3, channels))
        self.constant = torch.linspace(-1, 0.7, channels, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = (along_channels(p, x.ndim) for p in (self.scale, self.shift))
        if self.kind == "scale":
            return x * scale
        if self.kind == "shift":
            return x + shift
        if self.kind == "both":
            return torch.addcmul(shift, x, scale)
        return x + along_channels(self.table if self.kind == "buffer" else self.constant, x.ndim)


class Gate(Block):
    """Squeeze and excite: every channel is weighted by what all of them say."""

    ranks = (3, 4)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        channels, width, self.hard = channels_of(x), choices.of(3, 2), choices.of(False, True)
        self.squeeze, self.excite = nn.Linear(channels, width), nn.Linear(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        read = x.mean((2, 3)) if x.ndim == 4 else x.mean(1)
        gate = self.excite(F.relu(self.squeeze(read)))
        gate = F.hardsigmoid(gate) if self.hard else gate.sigmoid()
        return x * (gate[:, :, None, None] if x.ndim == 4 else gate[:, None])


class ChannelConvolution(Block):
    """Efficient channel attention: a convolution along the channels themselves."""

    ranks = (4,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv(x.mean((2, 3))[:, None]).sigmoid()
        return x * gate.transpose(1, 2)[..., None]


class AcrossChannels(Block):
    """What mixes channels: none of it may be cut as if it did not."""

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.dim = channel_dim(x)
        self.kind = choices.of("sum", "softmax", "max", "cumsum", "mean", "roll", "flip", "gram")

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "softmax":
            return x.softmax(self.dim)
        if self.kind == "cumsum":
            return x.cumsum(self.dim) * 0.3
        if self.kind == "roll":
            return x.roll(1, self.dim)
        if self.kind == "flip":
            return x.flip(self.dim)
        if self.kind == "gram" and x.ndim == 3:
            return x @ (x.mT @ x) * 0.1
        if self.kind == "max":
            return x - x.amax(self.dim, keepdim=True)
        whole = x.sum(self.dim, keepdim=True) if self.kind == "sum" else x.mean(self.dim, keepdim=True)
        return x * torch.sigmoid(whole)


class Summed(Block):
    """A sum over channels of what some function makes of them: a removed channel must add nothing to it."""

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.dim = channel_dim(x)
        self.act = choices.of(*ACTIVATIONS, torch.tanh, torch.square, _off_zero, _padded, torch.sign, torch.erfc)
        self.kind = choices.of("contracted", "sum", "norm")
        self.weight = nn.Parameter(torch.empty(channels_of(x)))

    def forward(self, x: Tensor) -> Tensor:
        made = self.act(x)
        if self.kind == "contracted":
            whole = (channels_last(made) @ self.weight).unsqueeze(self.dim)
        else:
            whole = made.sum(self.dim, keepdim=True) if self.kind == "sum" else made.norm(dim=self.dim, keepdim=True)
        return x + 0.2 * whole.sigmoid()


def _off_zero(x: Tensor) -> Tensor:
    return F.hardtanh(x, 0.1, 0.9)


def _padded(x: Tensor) -> Tensor:
    """The border of an image is a constant then; vectors and sequences stay."""
    return F.pad(x[..., 1:], (1, 0), value=0.7) if x.ndim == 4 else x


class Overwrite(Block):
    """In-place operators on views, and on what views were taken from before: every name of the memory changes."""

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return channels_of(shapes[0]) >= 4

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.dim, self.first = channel_dim(x), channels_of(x) // 2
        self.kind = choices.of("part", "base", "assigned", "filled in", "half", "detached", "viewed")
        self.summed = choices.of(True, False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        part = x.narrow(self.dim, 0, self.first)
        read = x
        if self.kind == "part":
            part.sigmoid_()
        elif self.kind == "base":
            x.cos_()
            read = part
        elif self.kind == "assigned":
            part.copy_(x.narrow(self.dim, self.first, self.first).cos())
        elif self.kind == "filled in":
            read = torch.zeros_like(x)
            read.narrow(self.dim, 0, self.first).copy_(part)
            read.narrow(self.dim, self.first, self.first).copy_(x.narrow(self.dim, self.first, self.first).exp())
        elif self.kind == "half":
            channels_last(x)[..., : self.first].mul_(0.5).add_(0.1)
        elif self.kind == "detached":
            x.detach().sigmoid_()
        else:
            x.view(x.shape[0], -1).add_(0.4)
        return read + 0.2 * read.sum(self.dim, keepdim=True) if self.summed else read


class Gather(Block):
    """Elements along positions or space by number, with an index as large as the value elsewhere."""

    ranks = (3, 4)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.kind = choices.of("gather", "index", "select")
        self.size = x[1:]

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "gather":
            index = torch.zeros((x.shape[0], *self.size), dtype=torch.long, device=x.device)
            return x + x.gather(3 if x.ndim == 4 else 1, index)
        order = torch.arange(x.shape[-2], device=x.device).flip(0)
        return x[..., order, :] if self.kind == "index" else x.index_select(-2, order)


class Shuffle(Block):
    ranks = (4,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return any(d < shapes[0][1] for d in divisors(shapes[0][1]))

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.groups = choices.of(*(d for d in divisors(x[1]) if d < x[1]))
        self.kind = choices.of("view", "written out", "operator")
        self.channels = x[1]

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if self.kind == "operator":
            return F.channel_shuffle(x, self.groups)
        width = self.channels // self.groups if self.kind == "written out" else c // self.groups
        return x.view(n, self.groups, width, h, w).transpose(1, 2).reshape(n, -1, h, w)


class PixelShuffle(Block):
    ranks = (4,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        _, c, h, _ = shapes[0]
        return (c % 4 == 0 and h <= 4) or (h % 2 == 0 and c <= 5)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.down = not (x[1] % 4 == 0 and x[2] <= 4)
        self.by_hand = choices.of(False, True)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if self.by_hand and self.down:
            return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)
        if self.by_hand:
            return x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)
        return F.pixel_unshuffle(x, 2) if self.down else F.pixel_shuffle(x, 2)


class Grid(Block):
    """Channels seen as groups x width, treated along one side or both, and put back in a row."""

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return any(d < channels_of(shapes[0]) for d in divisors(channels_of(shapes[0])))

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        channels = channels_of(x)
        self.groups = choices.of(*(d for d in divisors(channels) if d < channels))
        self.width = channels // self.groups
        self.kind = choices.of("by group", "by width", "mixed", "softmax", "radix", "turned", "both")
        self.written_out = choices.of(False, True)
        self.of_group = nn.Parameter(torch.empty(self.groups, 1))
        self.of_width = nn.Parameter(torch.empty(self.width))
        self.mix = nn.Linear(self.width, choices.of(self.width, 3))

    def forward(self, x: Tensor) -> Tensor:
        last = channels_last(x)
        outer = last.shape[:-1]
        grid = last.reshape(*outer, self.groups, self.width if self.written_out else last.shape[-1] // self.groups)
        if self.kind in ("by group", "both"):
            grid = grid * self.of_group
        if self.kind in ("by width", "both"):
            grid = grid + self.of_width
        if self.kind == "mixed":
            grid = self.mix(grid)
        if self.kind == "softmax":
            grid = grid.softmax(-2)
        if self.kind == "turned":
            grid = grid.mT
        if self.kind == "radix":
            return channels_back((grid * grid.sum(-2, keepdim=True).sigmoid()).sum(-2))
        return channels_back(grid.reshape(*outer, -1))


class Split(Block):
    """Parts of a value, in one of the ways to say so."""

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return channels_of(shapes[0]) >= 4

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.dim, channels = channel_dim(x), channels_of(x)
        self.kind = choices.of("chunk", "sizes", "slices", "thirds", "equal", "narrow", "strided", "overlapping")
        self.first = choices.of(channels // 2, 1 + channels // 4)
        self.channels = channels

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        d, first = self.dim, self.first
        if self.kind == "sizes":
            return x.split([first, self.channels - first], d)
        if self.kind == "thirds":
            return x.chunk(3, d)
        if self.kind == "equal":
            return x.split(first, d)
        if self.kind == "narrow":
            return x.narrow(d, 0, first), x.narrow(d, first, self.channels - first)
        last = channels_last(x)
        if self.kind == "slices":
            parts = [last[..., :first], last[..., first:]]
        elif self.kind == "strided":
            parts = [last[..., ::2], last[..., 1::2]]
        elif self.kind == "overlapping":
            parts = [last[..., : first + 1], last[..., first - 1 :]]
        else:
            return x.chunk(2, d)
        return tuple(channels_back(part) for part in parts)


class Repeat(Block):
    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return channels_of(shapes[0]) <= 6

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.kind, self.dim = choices.of("interleave", "tile", "expand", "stack", "pad"), channel_dim(x)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "interleave":
            return x.repeat_interleave(2, self.dim)
        if self.kind == "tile":
            return torch.cat([x, x * 0.5], self.dim)
        last = channels_last(x)
        if self.kind == "pad":
            return channels_back(F.pad(last, (1, 1)))
        if self.kind == "stack":
            return channels_back(torch.stack([last, last.sigmoid()], -1).flatten(-2))
        return channels_back(last[..., None].expand(*last.shape, 2).reshape(*last.shape[:-1], -1))


class Rotary(Block):
    """Halves of each channel group turned against each other, as rotary embeddings do."""

    angle: Tensor

    ranks = (3,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return shapes[0][-1] % 2 == 0

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.register_buffer("angle", torch.linspace(0, 1.5, x[1])[:, None])

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        return x * self.angle.cos() + torch.cat([-second, first], -1) * self.angle.sin()


class Combine(Block):
    """Two values of one shape, element by element."""

    operands = 2

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return len(set(shapes)) == 1

    def __init__(self, choices: Choices, x: Shape, y: Shape) -> None:
        super().__init__()
        self.kind = choices.of("add", "mul", "gate", "sub", "max", "where", "inplace")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if self.kind == "add":
            return x + y
        if self.kind == "mul":
            return x * y
        if self.kind == "gate":
            return x * y.sigmoid()
        if self.kind == "sub":
            return x - 0.5 * y
        if self.kind == "max":
            return torch.maximum(x, y)
        if self.kind == "where":
            return torch.where(x > 0, x, y)
        return x.clone().mul_(0.5).add_(y)


class Concatenate(Block):
    operands = 2

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        rest = {(*s[: channel_dim(s)], *s[channel_dim(s) + 1 :]) for s in shapes}
        ranks = {len(s) for s in shapes}
        return len(rest) == len(ranks) == 1 and 2 * sum(channels_of(s) for s in shapes) <= 2 * MOST_CHANNELS

    def __init__(self, choices: Choices, x: Shape, y: Shape) -> None:
        super().__init__()
        self.dim, self.thrice = channel_dim(x), choices.of(False, False, True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y, x] if self.thrice else [x, y], self.dim)


class Condition(Block):
    """One value scales and shifts another, channel by channel."""

    operands = 2

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return len(shapes) < 2 or len(shapes[1]) == 2

    def __init__(self, choices: Choices, x: Shape, y: Shape) -> None:
        super().__init__()
        self.say = nn.Linear(y[-1], 2 * channels_of(x))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        scale, shift = self.say(y).chunk(2, -1)
        if x.ndim == 4:
            return x * scale[:, :, None, None] + shift[..., None, None]
        return x * scale[:, None] + shift.unsqueeze(1) if x.ndim == 3 else x * scale + shift


class Similarity(Block):
    """Products of two values, summed over channels or over positions."""

    operands = 2
    ranks = (3,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return len({(len(s), s[-1]) for s in shapes}) == 1

    def __init__(self, choices: Choices, x: Shape, y: Shape) -> None:
        super().__init__()
        self.act = choices.of(torch.relu, torch.sigmoid)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.act(x) @ y.transpose(1, 2) * 0.3


class Resize(Block):
    ranks = (4,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return 2 <= shapes[0][2] <= 4

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.kind = choices.of("avg", "max", "nearest", "bilinear", "adaptive", "flip", "pad")

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "avg":
            return F.avg_pool2d(x, 3, 1, 1)
        if self.kind == "max":
            return F.max_pool2d(x, 2)
        if self.kind == "adaptive":
            return F.adaptive_avg_pool2d(x, 2)
        if self.kind == "flip":
            return x.flip(3).roll(1, 2)
        if self.kind == "pad":
            return F.pad(x, (1, 0, 1, 0), value=0.3)
        return F.interpolate(x, scale_factor=2, mode=self.kind)


class PositionConvolution(Block):
    """A convolution along a sequence, depthwise or not."""

    ranks = (3,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        groups = choices.of(1, x[-1])
        self.conv = nn.Conv1d(x[-1], choices.of(4, 6) if groups == 1 else x[-1], 3, padding=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


class TokenMixing(Block):
    """An MLP over positions: positions are channels there, and stay."""

    ranks = (3,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(x[1], 5), nn.Linear(5, x[1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(F.gelu(self.inner(x.mT))).mT


class ClassToken(Block):
    ranks = (3,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return shapes[0][1] < 18

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, x[-1]))
        self.positions = nn.Parameter(torch.empty(1, x[1] + 1, x[-1])) if choices.of(True, False) else None

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        return x if self.positions is None else x + self.positions


class Positions(Block):
    """Learned positions: a parameter, or rows of a table by number."""

    ranks = (3,)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.table = nn.Embedding(x[1] + 2, x[-1])
        self.direct = choices.of(True, False)

    def forward(self, x: Tensor) -> Tensor:
        t = x.shape[1]
        return x + (self.table.weight[:t] if self.direct else self.table(torch.arange(t, device=x.device)))


class ToSequence(Block):
    ranks = (2, 4)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return len(shapes[0]) == 4 or shapes[0][1] % 2 == 0

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.patches = choices.of(False, False, True)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        if x.ndim == 2:
            return x.view(n, 2, -1)
        if self.patches and x.shape[2] % 2 == 0:
            _, c, h, w = x.shape
            windows = x.view(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 3, 5, 1)
            return windows.reshape(n, 4, -1) if c * h * w <= 4 * MOST_CHANNELS else windows.reshape(n, h * w, c)
        return x.flatten(2).transpose(1, 2)


class ToImage(Block):
    ranks = (3,)

    @classmethod
    def fits(cls, *shapes: Shape) -> bool:
        return shapes[0][1] in (4, 16)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.side, self.written_out, self.channels = int(x[1] ** 0.5), choices.of(False, True), x[-1]

    def forward(self, x: Tensor) -> Tensor:
        channels = self.channels if self.written_out else x.shape[-1]
        return x.transpose(1, 2).reshape(x.shape[0], channels, self.side, self.side)


class ToVector(Block):
    ranks = (3, 4)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.kind = choices.of("mean", "max", "first", "sum")

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "first":
            return x[:, :, 0, 0] if x.ndim == 4 else x[:, 0]
        dims = (2, 3) if x.ndim == 4 else (1,)
        if self.kind == "max":
            return x.amax(dims)
        return x.mean(dims) if self.kind == "mean" else x.sum(dims)


class FlatLinear(Block):
    """All positions of all channels into one linear layer."""

    ranks = (3, 4)

    def __init__(self, choices: Choices, x: Shape) -> None:
        super().__init__()
        self.linear = nn.Linear(int(np.prod(x[1:])), choices.of(6, 4))
        self.kind = choices.of("flatten", "view", "merged first")

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "view":
            return self.linear(x.contiguous().view(x.shape[0], -1))
        if self.kind == "merged first" and x.ndim == 4:
            return self.linear(x.transpose(1, 2).flatten(2).flatten(1))
        return self.linear(x.flatten(1))


BLOCKS: Final[dict[str, type[Block]]] = {
    block.__name__: block for block in Block.__subclasses__()
}  # the order of the file: simple ones first
