"""The networks of LeCun et al. (1998) in the form that compression papers use: LeNet-300-100 and Caffe's LeNet-5."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from condensa_core.workload.zoo.image_shape import image_shape


def lenet300(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Linear 300, 100, classes with ReLU between: 266,610 parameters for 1 x 28 x 28 and 10 classes.

    Any input shape: it is flattened. Source: LeCun et al., Proc. IEEE 1998, section III.
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(math.prod(input_shape), 300),
            relu1=nn.ReLU(),
            fc2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            fc3=nn.Linear(100, classes),
        )
    )


def lenet5(classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Convolutions of 20 and 50 filters (5 x 5, max-pooled by 2), Linear 500, classes: 431,080 parameters for MNIST.

    Images of at least 16 x 16 pixels, else WorkloadError. Source: Caffe, examples/mnist/lenet.prototxt; the ReLU after
    each convolution is what later compression work adds.
    """
    channels, height, width = image_shape("lenet5", input_shape, smallest=16)
    rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 20, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(50 * rows * columns, 500),
            relu3=nn.ReLU(),
            fc2=nn.Linear(500, classes),
        )
    )
