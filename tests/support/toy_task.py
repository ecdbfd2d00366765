"""A small classification task that a two-layer CNN learns in a second: which quadrant holds the bright blob."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from condensa_core.randomness import Seed
from condensa_core.workload import TOP1, Score, TensorBatches, evaluate


def blobs(count: int, seed: int, classes: int = 8, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images of `classes` fixed random patterns."""
    patterns = torch.randn(classes, 1, size, size, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (count,), generator=generator)
    noise = torch.randn(count, 1, size, size, generator=generator)
    return patterns[targets] + 1.5 * noise, targets


class ToyCNN(nn.Module):
    """conv-BN-ReLU twice, global pooling, linear."""

    def __init__(self, classes: int = 8, width: int = 16) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * width)
        self.fc = nn.Linear(2 * width * 16, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return self.fc(x.flatten(1))


def toy_batches() -> tuple[TensorBatches, TensorBatches]:
    """1,024 training samples in batches of 64, and 1,024 for validation."""
    return (
        TensorBatches(*blobs(1024, 1), batch=64, seed=Seed(0), training=True),
        TensorBatches(*blobs(1024, 2), batch=256, seed=Seed(0)),
    )


def trained_toy(train: TensorBatches, epochs: int = 6) -> ToyCNN:
    torch.manual_seed(0)
    model = ToyCNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for epoch in range(epochs):
        for inputs, targets in train.epoch(epoch):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    return model.eval()


def judge_on(val: TensorBatches):
    def judge(model: nn.Module) -> Score:
        return evaluate(model, val, [TOP1]).scores["top1"]

    return judge
