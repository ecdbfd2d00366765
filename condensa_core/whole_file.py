"""A file appears under its name whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PARTIAL: Final = ".partial-"  # begins the name of every file that is not finished


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """A temporary path to write a file at; when the block ends well it is on the disk under its final name.

    When the block raises, or the process dies, whatever stood under the final name before is untouched. The temporary
    file lies in the same folder, which is made if need be, and keeps the final suffix, by which some writers choose the
    format: `.partial-<pid>-model.onnx`. OSErrors pass through.
    """
    partial = final.with_name(f"{PARTIAL}{os.getpid()}-{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        sync(partial)
        partial.replace(final)
        sync(final.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)  # a directory is synchronised through a handle of its own, like a file
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
