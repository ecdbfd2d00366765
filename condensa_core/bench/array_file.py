"""The arrays of a user's .npz file, looked at before they are read."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final

import numpy as np

from condensa_core.bench.memory import require_memory
from condensa_core.errors import UsageError, first_line

LARGEST: Final = 4 << 30  # bytes of all arrays of a file: a batch of 7000 pictures of 224 x 224 in float32
_LARGEST_HEADER: Final = 1 << 14  # numpy reads no longer one, but unpacks it whole before it says so
_COPIES: Final = 2  # as read, and in the type of the input
_HEADERS: Final = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """By name; never a pickled object. UsageError for any other file and for more than LARGEST bytes together,
    MachineError for more than memory holds; both by what the file declares, before anything is unpacked.
    """
    try:
        with path.open("rb") as opened:  # np.load leaves a broken file open
            if opened.read(6) == np.lib.format.MAGIC_PREFIX:
                raise UsageError(f"{path} holds a single array", hint="save it by name: np.savez(path, INPUT=array)")
            opened.seek(0)
            declared = _declared_bytes(opened)
            if declared > LARGEST:
                raise UsageError(
                    f"the arrays of {path} declare {declared:,} bytes together, and at most {LARGEST:,} are read",
                    hint="save fewer samples in it: one batch is fed again and again",
                )
            require_memory(_COPIES * declared, f"the arrays of {path}")
            opened.seek(0)
            archive = np.load(opened, allow_pickle=False)
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as err:
        raise UsageError(f"no such file: {path}") from err
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as err:  # Runtime: encrypted
        raise UsageError(f"{path} is no file of arrays: {first_line(err)}", hint="write one with np.savez") from err


def _declared_bytes(opened: IO[bytes]) -> int:
    """Of all arrays together; ValueError for one that declares more than its file holds."""
    total = 0
    with zipfile.ZipFile(opened) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as packed:
                member = io.BytesIO(packed.read(_LARGEST_HEADER))
                version = np.lib.format.read_magic(member)
                if version not in _HEADERS:
                    raise ValueError(f"{entry.filename} is in version {version} of the format, which records need")
                shape, _, dtype = _HEADERS[version](member)
                size = math.prod(shape) * dtype.itemsize
                if not dtype.hasobject and size > entry.file_size:
                    raise ValueError(f"{entry.filename} declares {size:,} bytes and has {entry.file_size:,}")
            total += size
    return total
