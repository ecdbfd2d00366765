"""Residual networks for small images: 6n + 2 layers in three stages of 16, 32 and 64 channels.

Source: He et al., CVPR 2016, section 4.2, with projection shortcuts (option B) where the shape changes.
"""

from __future__ import annotations

from torch import Tensor, nn

from condensa_core.workload.zoo.image_shape import image_shape


class BasicBlock(nn.Module):
    """relu(shortcut(x) + bn2(conv2(relu(bn1(conv1(x)))))); the shortcut is a 1 x 1 convolution if the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(self.shortcut(x) + residual)


class ResNet(nn.Module):
    """A 3 x 3 stem, `stage1` to `stage3` of `blocks` BasicBlocks each, global average, one linear layer."""

    def __init__(self, name: str, blocks: int, classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        channels_in = image_shape(name, input_shape)[0]
        self.conv1 = nn.Conv2d(channels_in, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.stage1 = _stage(16, 16, blocks, stride=1)
        self.stage2 = _stage(16, 32, blocks, stride=2)
        self.stage3 = _stage(32, 64, blocks, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(self.flatten(self.pool(x)))


def resnet20(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """n = 3: 272,474 parameters for 3 input channels and 10 classes (269,722 by option A, plus the projections)."""
    return ResNet("resnet20", 3, classes, input_shape)


def resnet32(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """n = 5."""
    return ResNet("resnet32", 5, classes, input_shape)


def resnet56(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """n = 9."""
    return ResNet("resnet56", 9, classes, input_shape)


def resnet110(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """n = 18."""
    return ResNet("resnet110", 18, classes, input_shape)


def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(channels_in, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, stride=1) for _ in range(blocks - 1)))
