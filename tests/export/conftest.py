"""Small networks, one of each kind; exporting costs a second each, so their files are made once per run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from condensa_core.export import OnnxFile, export_onnx


class Convolutional(nn.Module):
    """Convolutions with biases (BatchNorm already folded), pooling, a flattened map into a linear layer."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(width * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class Perceptron(nn.Module):
    """Linear layers only."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, width)
        self.output = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.hidden(x.flatten(1))))


class Residual(nn.Module):
    """A residual stream and global pooling; with BatchNorm if asked."""

    def __init__(self, width: int = 8, *, batchnorm: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if batchnorm else nn.Identity()
        self.branch = nn.Conv2d(width, width, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.branch(x))
        return self.classifier(self.dropout(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))


KINDS: dict[str, Callable[[int], nn.Module]] = {"conv": Convolutional, "mlp": Perceptron, "residual": Residual}


@dataclass(frozen=True)
class Exported:
    """A network and its ONNX file."""

    kind: str
    model: nn.Module
    file: OnnxFile


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def make() -> Callable[..., nn.Module]:
    """make(kind, width, seed=0): a network with random weights."""

    def build(kind: str, width: int = 8, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return KINDS[kind](width)

    return build


@pytest.fixture(scope="session")
def batch() -> Callable[..., Tensor]:
    """batch(count, seed=0): random 1 x 8 x 8 images."""
    return images


@pytest.fixture(scope="session")
def batchnorm_network() -> nn.Module:
    """A network whose BatchNorm is not folded and has statistics of its own."""
    torch.manual_seed(0)
    network = Residual(8, batchnorm=True)
    assert isinstance(network.norm, nn.BatchNorm2d)
    network.norm.running_mean.normal_()
    network.norm.running_var.uniform_(0.5, 2)
    return network


@pytest.fixture(scope="session")
def exported_by_kind(make, tmp_path_factory) -> Callable[[str], Exported]:
    """The network of a kind with its file, exported at first use."""
    folder: Path = tmp_path_factory.mktemp("onnx")
    made: dict[str, Exported] = {}

    def exported(kind: str) -> Exported:
        if kind not in made:
            model = make(kind, 8)
            made[kind] = Exported(kind, model, export_onnx(model, (images(2),), folder / f"{kind}.onnx"))
        return made[kind]

    return exported


@pytest.fixture(params=list(KINDS))
def exported(request, exported_by_kind) -> Exported:
    """Each kind in turn."""
    return exported_by_kind(request.param)
