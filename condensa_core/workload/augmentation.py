"""Random changes of training images, a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from condensa_core.errors import WorkloadError

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image of b x c x h x w mirrored left to right with probability one half."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to a twelfth of its shorter side (at least 1 pixel) in each direction, zeros moved in."""
    return _crop(images, max(1, min(images.shape[2:]) // 12), generator)


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Zero-padded by an eighth of the shorter side (4 pixels of 32), cropped at random, then `flip`.

    Source: He et al., CVPR 2016, section 4.2.
    """
    return flip(_crop(images, max(1, min(images.shape[2:]) // 8), generator), generator)


AUGMENTATIONS: Final[dict[str, Augmentation | None]] = {
    "none": None,
    "flip": flip,
    "shift": shift,
    "crop-flip": crop_flip,
}


def augmentation_named(name: str) -> Augmentation | None:
    """The augmentation of that name, None for `none`; WorkloadError lists the known names."""
    if name not in AUGMENTATIONS:
        raise WorkloadError(f"augment {name!r} is not known", hint="known: " + ", ".join(AUGMENTATIONS))
    return AUGMENTATIONS[name]


def _crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """A random h x w window of each image padded by `padding` zeros."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # b x c x (2p+1) x (2p+1) x h x w, a view
    rows = torch.randint(2 * padding + 1, (len(images),), generator=generator)
    columns = torch.randint(2 * padding + 1, (len(images),), generator=generator)
    return windows[torch.arange(len(images)), :, rows, columns]
