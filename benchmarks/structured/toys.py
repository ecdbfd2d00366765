"""Small networks, each about one thing that channels go through."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Flatten(nn.Module):
    """A map of channels x height x width flattened into a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.hidden, self.out = nn.Linear(32 * 8 * 8, 64), nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.first(x)), 4)
        x = functional.max_pool2d(functional.relu(self.second(x)), 3)
        return self.out(functional.relu(self.hidden(torch.flatten(x, 1))))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Concatenated skips and transposed convolutions, up to an image of classes."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        self.down1, self.down2, self.down3 = _block(3, width), _block(width, 2 * width), _block(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.merge2, self.merge1 = _block(4 * width, 2 * width), _block(2 * width, width)
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down1(x)
        middle = self.down2(functional.max_pool2d(fine, 2))
        coarse = self.down3(functional.max_pool2d(middle, 2))
        middle = self.merge2(torch.cat([self.up2(coarse), middle], 1))
        return self.out(self.merge1(torch.cat([self.up1(middle), fine], 1)))


class Recurrent(nn.Module):
    """A language model of one recurrent layer (`nn.LSTM`, `nn.GRU`), or of several."""

    def __init__(self, classes: int, kind: type[nn.RNNBase], layers: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 64)
        self.recurrent = kind(64, 64, layers, batch_first=True)
        self.out = nn.Linear(64, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.recurrent(self.embedding(tokens))[0])


class PixelShuffle(nn.Module):
    """Channels that become space."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.out = nn.Conv2d(16, classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x).relu()).relu()
        return self.out(functional.pixel_shuffle(x, 2).relu())


class SharedTower(nn.Module):
    """Modules used twice, and a concatenation of both uses."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.second, self.out = nn.Conv2d(32, 32, 3, padding=1), nn.Linear(64, classes)

    def tower(self, x: Tensor) -> Tensor:
        return self.second(functional.relu(self.norm(self.first(x)))).mean((2, 3))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.out(torch.cat([self.tower(left), self.tower(right)], 1))


class Functional(nn.Module):
    """Parameters of the model itself, no layer at all."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.filters, self.shift = nn.Parameter(torch.randn(32, 3, 3, 3) * 0.2), nn.Parameter(torch.randn(32))
        self.head = nn.Parameter(torch.randn(classes, 32) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.filters, self.shift, padding=1).relu().mean((2, 3)) @ self.head.t()


class TemporalConvolution(nn.Module):
    """Dilated Conv1d blocks with PReLU around a residual stream."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(8, 32, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(32, 32, 3, padding=dilation, dilation=dilation),
                nn.BatchNorm1d(32),
                nn.PReLU(32),
                nn.Conv1d(32, 32, 1),
            )
            for dilation in (1, 2, 4)
        )
        self.out = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = functional.relu(x + block(x))
        return self.out(x.mean(-1))


class GatedLinear(nn.Module):
    """Halves of a layer that gate each other, and a constant factor."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(20, 64), nn.Linear(32, 64)
        self.skip, self.out = nn.Linear(20, 32), nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(functional.glu(self.second(functional.glu(self.first(x)))) * 0.5 + self.skip(x))


class Encoder(nn.Module):
    """torch's own attention block."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(12, 32)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.out = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(self.project(x)).mean(1))
