"""VGG with BatchNorm in the small form used on CIFAR: one linear layer behind the convolutions."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from condensa_core.workload.zoo.image_shape import image_shape

# Filters of each 3 x 3 convolution, stage by stage; a max-pooling by 2 ends a stage.
_STAGES: Final = {
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    16: ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}


class VGG(nn.Module):
    """`features` (convolution, BatchNorm, ReLU, pooling), average over what is left of the image, `classifier`."""

    def __init__(self, depth: int, classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = image_shape(f"vgg{depth}-bn", input_shape)
        layers: list[nn.Module] = []
        side = min(height, width)
        for stage in _STAGES[depth]:
            for filters in stage:
                layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
                channels = filters
            if side >= 2:  # images smaller than 32 x 32 run out of pixels before they run out of stages
                layers.append(nn.MaxPool2d(2))
                side //= 2
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.flatten(self.pool(self.features(images))))


def vgg11_bn(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """VGG-11 (configuration A): 9,231,114 parameters for 3 input channels and 10 classes.

    Source: Simonyan and Zisserman, ICLR 2015, table 1; BatchNorm and a single linear layer as in torchvision's vgg*_bn
    and common CIFAR ports.
    """
    return VGG(11, classes, input_shape)


def vgg16_bn(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """VGG-16 (configuration D): 14,728,266 parameters for 3 input channels and 10 classes."""
    return VGG(16, classes, input_shape)


def vgg19_bn(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """VGG-19 (configuration E): 20,040,522 parameters for 3 input channels and 10 classes."""
    return VGG(19, classes, input_shape)
