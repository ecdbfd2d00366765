"""Arrays of unsigned bytes in IDX files, the format of MNIST and its kin."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from condensa_core.errors import WorkloadError

_MOST_BYTES: Final = 2**30  # the largest of the kind, EMNIST, has 0.55 GB
_ORIGINAL: Final = "the file is damaged or another: put the original in its place"


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file of unsigned bytes, gzipped if its name ends in .gz; WorkloadError if it is damaged.

    Source: http://yann.lecun.com/exdb/mnist/ (two zero bytes, type 0x08, rank, sizes as big-endian int32, data).
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _announced(file, path)
            content = file.read(math.prod(shape) + 1)  # and no more, however much a few packed bytes stand for
    except (OSError, EOFError, zlib.error) as err:
        raise WorkloadError(f"{path} cannot be read: {err}", hint=_ORIGINAL) from err
    if len(content) != math.prod(shape):
        raise WorkloadError(f"{path} is cut short or too long: its header announces {shape}", hint=_ORIGINAL)
    return np.frombuffer(content, dtype=np.uint8).reshape(shape).copy()


def _announced(file: io.BufferedIOBase, path: Path) -> tuple[int, ...]:
    """The sizes in the header, with the file left where the data begins."""
    head = file.read(4)
    if len(head) < 4 or head[:3] != b"\0\0\x08":
        raise WorkloadError(f"{path} is not an IDX file of unsigned bytes", hint=_ORIGINAL)
    sizes = file.read(4 * head[3])
    if len(sizes) != 4 * head[3]:
        raise WorkloadError(f"{path} is cut short or too long: its header ends early", hint=_ORIGINAL)
    shape = tuple(int(size) for size in np.frombuffer(sizes, dtype=">i4"))
    if min(shape, default=0) < 0 or math.prod(shape) > _MOST_BYTES:
        raise WorkloadError(f"{path} announces {shape}, which is no size of such a file", hint=_ORIGINAL)
    return shape
