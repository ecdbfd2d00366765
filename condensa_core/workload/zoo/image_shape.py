"""The shape of one image, checked against what a model needs."""

from __future__ import annotations

from condensa_core.errors import WorkloadError


def image_shape(name: str, input_shape: tuple[int, ...], *, smallest: int = 1) -> tuple[int, int, int]:
    """`input_shape` as channels, height, width; WorkloadError when it is no image or smaller than the model needs."""
    if len(input_shape) != 3:
        raise WorkloadError(f"{name} needs images (channels, height, width), the data has shape {input_shape}")
    channels, height, width = input_shape
    if min(height, width) < smallest:
        raise WorkloadError(f"{name} needs images of at least {smallest} x {smallest}, the data has {height} x {width}")
    return channels, height, width
