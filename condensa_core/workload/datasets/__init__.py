"""The built-in data sets, one file each."""

from __future__ import annotations

import difflib
from typing import Final

from condensa_core.errors import WorkloadError
from condensa_core.workload.datasets.cifar import CIFAR10, CIFAR100
from condensa_core.workload.datasets.digits import DIGITS
from condensa_core.workload.datasets.fashion_mnist import FASHION_MNIST
from condensa_core.workload.datasets.image_folder import IMAGE_FOLDER
from condensa_core.workload.datasets.images import DataSource, ImageSet, Labelled
from condensa_core.workload.datasets.options import DataOptions, data_options

__all__ = ["DATASETS", "DataOptions", "DataSource", "ImageSet", "Labelled", "data_options", "dataset_named"]

DATASETS: Final = {source.name: source for source in (DIGITS, FASHION_MNIST, CIFAR10, CIFAR100, IMAGE_FOLDER)}


def dataset_named(name: str) -> DataSource:
    """The built-in data set of that name; WorkloadError suggests a near one."""
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(DATASETS)
        raise WorkloadError(f"no data set called {name!r}", hint=hint)
    return DATASETS[name]
