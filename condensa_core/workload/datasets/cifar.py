"""`cifar10` and `cifar100`: 60,000 photographs of 32 x 32 pixels, in the "binary version" files.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch

from condensa_core.errors import WorkloadError
from condensa_core.workload.datasets.images import OF_ALL_IMAGES, DataSource, ImageSet, Labelled
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.location import located

_IMAGE_BYTES: Final = 3 * 32 * 32  # red plane, green plane, blue plane, row by row


def load_cifar10(options: DataOptions, directory: Path) -> ImageSet:
    """3 x 32 x 32 images of bytes from data_batch_1..5.bin and test_batch.bin; a record is label, pixels."""
    folder = _folder("cifar10", "cifar-10-batches-bin", "cifar-10-binary.tar.gz", options, directory)
    train = [_records(folder / f"data_batch_{number}.bin", label_bytes=1, classes=10) for number in range(1, 6)]
    joined = Labelled(torch.cat([part.images for part in train]), torch.cat([part.targets for part in train]))
    return ImageSet(10, joined, None, _records(folder / "test_batch.bin", label_bytes=1, classes=10))


def load_cifar100(options: DataOptions, directory: Path) -> ImageSet:
    """3 x 32 x 32 images of bytes from train.bin and test.bin; a record is coarse label, fine label (kept), pixels."""
    folder = _folder("cifar100", "cifar-100-binary", "cifar-100-binary.tar.gz", options, directory)
    train, test = (_records(folder / name, label_bytes=2, classes=100) for name in ("train.bin", "test.bin"))
    return ImageSet(100, train, None, test)


def _folder(name: str, inner: str, archive: str, options: DataOptions, directory: Path) -> Path:
    hint = f"download {archive} from https://www.cs.toronto.edu/~kriz/cifar.html, unpack it and name the folder as path"
    if options.path is None:
        raise WorkloadError(f"{name} needs a path", hint=hint)
    folder = located(options.path, directory)
    if not folder.is_dir():
        raise WorkloadError(f"{name}: there is no folder {folder}", hint=hint)
    return folder / inner if (folder / inner).is_dir() else folder


def _records(path: Path, *, label_bytes: int, classes: int) -> Labelled:
    """The images of one file with the last of the `label_bytes` labels in front of each."""
    if path.exists() and not path.is_file():  # a device may never end
        raise WorkloadError(f"{path} is no file", hint="put the original in its place")
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as err:
        raise WorkloadError(
            f"{path} cannot be read: {err.strerror}",
            hint="the file is damaged or another: put the original in its place",
        ) from err
    record = label_bytes + _IMAGE_BYTES
    if len(content) == 0 or len(content) % record:
        raise WorkloadError(
            f"{path} has {len(content)} bytes, which is not a whole number of {record}-byte records",
            hint="the file is damaged or another: put the original in its place",
        )
    records = content.reshape(-1, record)
    targets = records[:, label_bytes - 1].astype(np.int64)
    if targets.max() >= classes:
        raise WorkloadError(
            f"{path} holds class {targets.max()}, but there are only {classes}",
            hint="the file is damaged or another: put the original in its place",
        )
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).copy()
    return Labelled(torch.from_numpy(images), torch.from_numpy(targets))


CIFAR10: Final = DataSource(
    name="cifar10",
    load=load_cifar10,
    augment="crop-flip",
    val_fraction=0.1,  # 45,000 / 5,000, as He et al., CVPR 2016, section 4.2
    batch=128,
    epochs=160,
    shape=(10, (3, 32, 32)),
    takes=OF_ALL_IMAGES | frozenset({"path"}),
)
CIFAR100: Final = DataSource(
    name="cifar100",
    load=load_cifar100,
    augment="crop-flip",
    val_fraction=0.1,
    batch=128,
    epochs=160,
    shape=(100, (3, 32, 32)),
    takes=OF_ALL_IMAGES | frozenset({"path"}),
)
