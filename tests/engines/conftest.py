"""The five kinds of models an engine is built from, exported once a run: an export costs seconds, a build less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from condensa_core.export import export_onnx, quantize_onnx
from condensa_core.materialise import fold_batchnorm
from condensa_core.workload.zoo import zoo_model


@dataclass(frozen=True)
class Kind:
    """A small model of its kind with a batch it takes."""

    build: Callable[[], nn.Module]
    batch: Callable[[], Tensor]


def vgg() -> nn.Module:
    """Stages of 3 x 3 convolutions that end in a max-pooling, then two linear layers."""
    stages = [(3, 8), (8, 16), (16, 16)]
    layers: list[nn.Module] = []
    for inputs, outputs in stages:
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 16, 32), nn.ReLU(), nn.Linear(32, 10))


def zoo(name: str, classes: int, shape: tuple[int, ...], **args: int) -> Callable[[], nn.Module]:
    return lambda: zoo_model(name, classes, shape, args)


def images(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(4, *shape)


def tokens() -> Tensor:
    return torch.randint(0, 32, (4, 12))


KINDS = {
    "vgg": Kind(vgg, images(3, 32, 32)),
    "resnet20": Kind(zoo("resnet20", 10, (3, 32, 32)), images(3, 32, 32)),
    "mlp": Kind(zoo("lenet300", 10, (64,)), images(64)),
    "lstm": Kind(zoo("lstm-lm", 32, (12,), embedding=16, hidden=32), tokens),
    "transformer": Kind(zoo("transformer-lm", 32, (12,), width=32, layers=1, heads=2), tokens),
}


@dataclass(frozen=True)
class Files:
    """A kind's float file, the bytes of its parameters, and a way to its int8 form."""

    path: Path
    parameter_bytes: int
    batch: Tensor

    def int8(self) -> Path:
        """Symmetric and with biases in float, as TensorRT wants it."""
        path = self.path.with_suffix(".int8.onnx")
        if not path.exists():
            quantize_onnx(self.path, path, [self.batch], target="tensorrt")
        return path


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Callable[[str], Files]:
    """files(kind): exported at first use."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, Files] = {}

    def of(kind: str) -> Files:
        if kind not in made:
            torch.manual_seed(0)
            batch = KINDS[kind].batch()
            model = fold_batchnorm(KINDS[kind].build().eval(), (batch,))
            written = export_onnx(model, (batch,), folder / f"{kind}.onnx")
            size = 4 * sum(parameter.numel() for parameter in model.parameters())
            made[kind] = Files(written.path, size, batch)
        return made[kind]

    return of


@pytest.fixture
def small(tmp_path, files) -> Path:
    """A copy of the smallest file, for tests that change it."""
    path = tmp_path / "mlp.onnx"
    path.write_bytes(files("mlp").path.read_bytes())
    return path
