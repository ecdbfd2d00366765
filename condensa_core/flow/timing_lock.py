"""One process of a run times at once: two would share the caches and the memory that they measure."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from condensa_core.plain_file import open_plain

_LOCK: Final = ".timing"


@contextmanager
def alone_timing(folder: Path) -> Iterator[None]:
    """Waits until no other process is in such a block for `folder`; a process that dies leaves its block."""
    handle = open_plain(folder / _LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
