"""A plain convolutional network that a CPU trains in seconds to minutes: for demonstrations and tests."""

from __future__ import annotations

from torch import Tensor, nn

from condensa_core.errors import WorkloadError
from condensa_core.workload.zoo.image_shape import image_shape

_LARGE_SIDE = 24  # from here on the first convolution may halve the image: it saves three quarters of the work


class SmallCNN(nn.Module):
    """`features` (3 x 3 convolution, BatchNorm, ReLU), average over what is left of the image, `classifier`."""

    def __init__(self, classes: int, input_shape: tuple[int, ...], width: int, depth: int, stages: int) -> None:
        super().__init__()
        channels, height, image_width = image_shape("small-cnn", input_shape)
        layers: list[nn.Module] = []
        for stage in range(stages):
            filters = width * 2**stage
            for position in range(depth):
                halve = position == 0 and (stage > 0 or min(height, image_width) >= _LARGE_SIDE)
                convolution = nn.Conv2d(channels, filters, 3, stride=2 if halve else 1, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(filters), nn.ReLU()]
                channels = filters
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.flatten(self.pool(self.features(images))))


def small_cnn(
    classes: int, input_shape: tuple[int, ...], width: int = 32, depth: int = 2, stages: int = 3
) -> nn.Module:
    """`stages` stages of `depth` convolutions each; the first has `width` filters, each later one twice as many.

    A stage begins by halving the image with a stride, the first one only where images have 24 pixels or more.
    """
    for name, value in (("width", width), ("depth", depth), ("stages", stages)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise WorkloadError(f"small-cnn: {name} must be a count of at least 1, got {value!r}")
    return SmallCNN(classes, input_shape, width, depth, stages)
