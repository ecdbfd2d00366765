"""Arrays of unsigned bytes in IDX files, the format of MNIST and its kin."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from condensa_core.errors import WorkloadError


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file of unsigned bytes, gzipped if its name ends in .gz; WorkloadError if it is damaged.

    Source: http://yann.lecun.com/exdb/mnist/ (two zero bytes, type 0x08, rank, sizes as big-endian int32, data).
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as err:
        raise WorkloadError(
            f"{path} cannot be read: {err}", hint="the file is damaged or another: put the original in its place"
        ) from err
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise WorkloadError(
            f"{path} is not an IDX file of unsigned bytes",
            hint="the file is damaged or another: put the original in its place",
        )
    rank = content[3]
    start = 4 + 4 * rank
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], dtype=">i4"))
    if len(shape) != rank or len(content) - start != math.prod(shape):
        raise WorkloadError(
            f"{path} is cut short or too long: its header announces {shape}",
            hint="the file is damaged or another: put the original in its place",
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy()
