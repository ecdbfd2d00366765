"""What the model that ships wants to be fed, so that nobody has to read how it was trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInput:
    """One input of model.onnx: `shape` is of one sample, without the free batch axis before it.

    Where built-in images are standardised, the input is (pixel - mean) / deviation with the figures of each channel;
    `pixels` are the least and the largest value a pixel has as the data set stores it. None where data comes as it is.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str  # as PyTorch and numpy call it
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    pixels: tuple[float, float] | None = None
