"""`image-folder`: the user's own images, as train/CLASS/*.png, with optional val/ and test/ beside train/."""

from __future__ import annotations

import importlib
import itertools
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import torch
from torch import Tensor

from condensa_core.errors import MachineError, MissingRuntime, WorkloadError
from condensa_core.workload.datasets.images import OF_ALL_IMAGES, DataSource, ImageSet, Labelled
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.location import located

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp"})
_DEFAULT_SIZE: Final = 224
_MOST_OBLONG: Final = 50
_MEMORY_SHARE: Final = 0.5  # of what is free now: training needs the rest


def load(options: DataOptions, directory: Path) -> ImageSet:
    """3 x size x size images of bytes, all in memory: the shorter side brought to `size`, the centre cut out.

    Classes are the sorted folder names under train/; val/ and test/ may hold no others. In each part the classes
    take turns, so that its first samples show all of them. MachineError when the images would not fit into memory.
    """
    pillow = _pillow()
    if options.path is None:
        raise WorkloadError("image-folder needs a path", hint="name the folder that holds train/CLASS/*.png")
    folder = located(options.path, directory)
    if not (folder / "train").is_dir():
        raise WorkloadError(f"image-folder: {folder} has no folder 'train'", hint="it must hold train/CLASS/*.png")
    classes = [entry.name for entry in _folders(folder / "train")]
    if len(classes) < 2:
        raise WorkloadError(f"image-folder: {folder / 'train'} has {len(classes)} class folders, needs at least 2")
    size = options.size or _DEFAULT_SIZE
    listed = {part: _files(folder / part, classes) for part in ("train", "val", "test") if (folder / part).is_dir()}
    _check_memory(sum(map(len, listed.values())), size)
    parts = {part: _read(pillow, files, size) for part, files in listed.items()}
    return ImageSet(len(classes), parts["train"], parts.get("val"), parts.get("test"))


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")  # optional: only this data set decodes images
    except ImportError as err:
        raise MissingRuntime("image-folder needs Pillow to read images", hint="pip install pillow") from err


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(part: Path, classes: list[str]) -> list[tuple[Path, int]]:
    unknown = [entry.name for entry in _folders(part) if entry.name not in classes]
    if unknown:
        raise WorkloadError(
            f"image-folder: {part} has a class {unknown[0]!r} that train/ lacks",
            hint="add images of it to train/, or remove its folder",
        )
    by_class = [[(file, label) for file in _images_in(part / name)] for label, name in enumerate(classes)]
    files = [entry for turn in itertools.zip_longest(*by_class) for entry in turn if entry is not None]
    if not files:
        raise WorkloadError(f"image-folder: {part} holds no images", hint="put images into a folder for each class")
    return files


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())


def _check_memory(count: int, size: int) -> None:
    needed, free = count * 3 * size * size, psutil.virtual_memory().available
    if needed > _MEMORY_SHARE * free:
        raise MachineError(
            f"image-folder: {count} images of {size} x {size} need {needed / 2**30:.1f} GiB of {free / 2**30:.1f} free",
            hint="choose a smaller size, or name a DataLoader with `train: {python: file.py:object}`",
        )


def _read(pillow: Any, files: list[tuple[Path, int]], size: int) -> Labelled:
    with ThreadPoolExecutor() as pool:  # decoding gives the interpreter lock back
        images = list(pool.map(lambda entry: _image(pillow, entry[0], size), files))
    return Labelled(torch.stack(images), torch.tensor([label for _, label in files]))


def _image(pillow: Any, path: Path, size: int) -> Tensor:
    try:
        with pillow.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, struct.error, pillow.DecompressionBombError) as err:  # Syntax: broken PNG
        raise WorkloadError(f"{path} is not a readable image: {err}", hint="remove or replace the file") from err
    width, height = image.size
    if max(width, height) > _MOST_OBLONG * min(width, height):  # scaled by its short side, it would fill the memory
        oblong = f"{path} is {width} x {height}: a side is more than {_MOST_OBLONG} times the other"
        raise WorkloadError(oblong, hint="remove or replace the file")
    scale = size / min(width, height)
    enclosing = max(size, round(width * scale)), max(size, round(height * scale))
    image = image.resize(enclosing, pillow.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = np.array(image.crop((left, top, left + size, top + size)))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


IMAGE_FOLDER: Final = DataSource(
    name="image-folder",
    load=load,
    augment="crop-flip",
    val_fraction=0.1,
    batch=64,
    epochs=60,
    shape=None,
    takes=OF_ALL_IMAGES | frozenset({"path", "size"}),
)
