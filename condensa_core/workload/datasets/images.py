"""What every built-in data set hands over: images and class numbers as they were read, before any split by seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torch import Tensor

from condensa_core.workload.datasets.options import DataOptions

OF_ALL_IMAGES: Final = frozenset({"val_fraction", "val_count", "augment"})


@dataclass(frozen=True)
class Labelled:
    """n images (n x c x h x w, uint8 or float32, raw values with 0 as background) and n class numbers (int64)."""

    images: Tensor
    targets: Tensor


@dataclass(frozen=True)
class ImageSet:
    """A data set as published; `val` is None where validation images are to be cut from `train`."""

    classes: int
    train: Labelled
    val: Labelled | None
    test: Labelled | None


@dataclass(frozen=True)
class DataSource:
    """A built-in data set and the defaults that suit it.

    `shape` is (classes, (channels, height, width)) where it is known without the files. `epochs` is what a reference
    needs to be respectable. `takes` names the options beyond those that every data set takes.
    """

    name: str
    load: Callable[[DataOptions, Path], ImageSet]
    augment: str
    val_fraction: float
    batch: int
    epochs: int
    shape: tuple[int, tuple[int, int, int]] | None
    takes: frozenset[str] = field(default=OF_ALL_IMAGES)
