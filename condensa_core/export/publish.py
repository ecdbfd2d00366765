"""A file appears under its name only when it is complete and on disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from condensa_core.errors import MachineError


def publish(path: Path, content: bytes) -> None:
    """Write `content` beside `path` under a temporary name, sync it, then rename: readers see all of it or nothing.

    An existing file is replaced in one step. MachineError when the disk or the permissions say no; nothing is left.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as err:
        raise MachineError(f"cannot write {path}: {err.strerror or err}") from err
    finally:
        with suppress(OSError):  # it was renamed, or its folder could not be written in the first place
            partial.unlink()
