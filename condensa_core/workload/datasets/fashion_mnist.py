"""`fashion-mnist`: 70,000 photographs of clothes, 28 x 28 pixels, 10 classes.

Source: Xiao, Rasul and Vollgraf, arXiv:1708.07747; four IDX files.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import urllib.request
import zlib
from pathlib import Path
from typing import Final

import torch

from condensa_core.errors import MachineError, WorkloadError
from condensa_core.whole_file import replacing
from condensa_core.workload.datasets.idx import read_idx
from condensa_core.workload.datasets.images import OF_ALL_IMAGES, DataSource, ImageSet, Labelled
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.location import located

DEBIAN_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")
UPSTREAM: Final = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
# SHA-256 of the unpacked bytes: Debian and upstream pack the same content differently.
FILES: Final = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def load(options: DataOptions, directory: Path) -> ImageSet:
    """1 x 28 x 28 images of bytes: from `path`, else Debian's folder, else the cache, which `download` fills."""
    folder = _folder(options, directory)
    return ImageSet(classes=10, train=_part(folder, "train"), val=None, test=_part(folder, "t10k"))


def download(folder: Path, source: str = UPSTREAM) -> None:
    """Fetches the files that `folder` lacks; a file appears under its name only when its checksum is right."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, digest in FILES.items():
            if not (folder / name).exists():
                _fetch(source + name, folder / name, digest)
    except OSError as err:  # URLError is one too
        raise MachineError(
            f"Fashion-MNIST could not be downloaded to {folder}: {err}",
            hint="look at the network, or put its four files into that folder",
        ) from err


def _folder(options: DataOptions, directory: Path) -> Path:
    if options.path is not None:
        folder = located(options.path, directory)
        missing = [name for name in FILES if _file(folder, name) is None]
        if missing:
            raise WorkloadError(
                f"fashion-mnist: {folder} has no {missing[0]}", hint="path names the folder of IDX files"
            )
        return folder
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "condensa" / "fashion-mnist"
    for folder in (DEBIAN_FOLDER, cache):
        if all(_file(folder, name) for name in FILES):
            return folder
    if not options.download:
        raise WorkloadError(
            "fashion-mnist is not on this machine",
            hint="install it with `apt-get install dataset-fashion-mnist`, name the folder of its files with `path:`, "
            "or write `download: true`",
        )
    download(cache)
    return cache


def _file(folder: Path, name: str) -> Path | None:
    """The packed file, or the unpacked one under the same name."""
    return next((p for p in (folder / name, folder / name.removesuffix(".gz")) if p.is_file()), None)


def _part(folder: Path, prefix: str) -> Labelled:
    images = read_idx(_file(folder, f"{prefix}-images-idx3-ubyte.gz") or folder)
    targets = read_idx(_file(folder, f"{prefix}-labels-idx1-ubyte.gz") or folder)
    if images.ndim != 3 or targets.ndim != 1 or len(images) != len(targets) or len(images) == 0 or targets.max() > 9:
        raise WorkloadError(
            f"{folder}: {prefix} has images {images.shape} and labels {targets.shape}",
            hint="the file is damaged or another: put the original in its place",
        )
    return Labelled(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(targets).long())


def _fetch(url: str, path: Path, digest: str) -> None:
    with urllib.request.urlopen(url, timeout=60) as answer:
        packed = answer.read()
    try:
        found = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    except (OSError, EOFError, zlib.error) as err:
        raise WorkloadError(
            f"{url} is not a gzip file", hint="the file is damaged or another: put the original in its place"
        ) from err
    if found != digest:
        raise WorkloadError(
            f"{url} has sha256 {found[:12]}..., expected {digest[:12]}...",
            hint="the file is damaged or another: put the original in its place",
        )
    with replacing(path) as partial:
        partial.write_bytes(packed)


FASHION_MNIST: Final = DataSource(
    name="fashion-mnist",
    load=load,
    augment="flip",
    val_fraction=0.1,
    batch=128,
    epochs=8,  # a small-cnn of width 32 reaches 92.5 % on test
    shape=(10, (1, 28, 28)),
    takes=OF_ALL_IMAGES | frozenset({"path", "download"}),
)
