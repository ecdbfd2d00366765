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
from condensa_core.workload.datasets.python_text import PYTHON_TEXT
from condensa_core.workload.datasets.text_files import TEXT
from condensa_core.workload.datasets.texts import TextSource
from condensa_core.workload.datasets.wikitext2 import WIKITEXT2

__all__ = [
    "DATASETS",
    "DataOptions",
    "DataSource",
    "ImageSet",
    "Labelled",
    "TextSource",
    "data_options",
    "dataset_named",
]

_IMAGES: Final = (DIGITS, FASHION_MNIST, CIFAR10, CIFAR100, IMAGE_FOLDER)
_TEXTS: Final = (PYTHON_TEXT, TEXT, WIKITEXT2)
DATASETS: Final[dict[str, DataSource | TextSource]] = {source.name: source for source in (*_IMAGES, *_TEXTS)}


def dataset_named(name: str) -> DataSource | TextSource:
    """The built-in data set of that name; WorkloadError suggests a near one."""
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(DATASETS)
        raise WorkloadError(f"no data set called {name!r}", hint=hint)
    return DATASETS[name]
