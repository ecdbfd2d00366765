"""`digits`: 1,797 scanned digits of 8 x 8 pixels, part of scikit-learn.

Source: UCI, Optical Recognition of Handwritten Digits (the test part), as `sklearn.datasets.load_digits` gives it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from condensa_core.randomness import Seed
from condensa_core.workload.datasets.images import DataSource, ImageSet, Labelled
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.partition import stratified_holdout

_TEST_COUNT: Final = 360  # a fifth
# The data set has no published test part. The cut depends on no recipe, so results of all recipes can be compared.
_TEST_SEED: Final = Seed(1797)


def load(options: DataOptions, directory: Path) -> ImageSet:
    """1 x 8 x 8 images with pixels in 0..1; 360 of them, always the same ones, are the test part."""
    from sklearn.datasets import load_digits  # scikit-learn takes a second to import

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    targets = torch.from_numpy(bunch.target).long()
    kept, held = stratified_holdout(targets, _TEST_COUNT, _TEST_SEED.torch_generator("digits", "test"))
    return ImageSet(
        classes=10,
        train=Labelled(images[kept], targets[kept]),
        val=None,
        test=Labelled(images[held], targets[held]),
    )


DIGITS: Final = DataSource(
    name="digits",
    load=load,
    augment="none",
    val_fraction=0.25,  # 359 images: with a tenth, one image would weigh 0.7 points
    batch=32,
    epochs=20,
    shape=(10, (1, 8, 8)),
)
