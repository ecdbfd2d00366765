"""AlexNet for 32 x 32 images, as compression papers use it on CIFAR-10: five convolutions and one linear layer."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from condensa_core.workload.zoo.image_shape import image_shape


def alexnet(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Convolutions of 64, 192, 384, 256 and 256 filters, then classes: 2,472,266 parameters for CIFAR-10.

    Images of at least 32 x 32 pixels, else WorkloadError.
    Source: Krizhevsky et al., NIPS 2012, reduced to one linear layer as in Condensa's examples, arXiv:1911.02497.
    """
    channels, height, width = image_shape("alexnet", input_shape, smallest=32)
    # Stride 4 with padding 5, and three poolings by two.
    rows, columns = (((side + 10 - 11) // 4 + 1) // 8 for side in (height, width))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 64, 11, stride=4, padding=5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(64, 192, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(192, 384, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 256, 3, padding=1),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(256, 256, 3, padding=1),
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc=nn.Linear(256 * rows * columns, classes),
        )
    )
