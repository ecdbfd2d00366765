"""A file appears under its name only when it is complete and on disk."""

from __future__ import annotations

from pathlib import Path

from condensa_core.errors import MachineError
from condensa_core.whole_file import remedy, replacing


def publish(path: Path, content: bytes) -> None:
    """Write `content` so that readers see all of it or what was there before; MachineError when the disk says no."""
    try:
        with replacing(path) as partial:
            partial.write_bytes(content)
    except OSError as err:
        raise MachineError(f"cannot write {path}: {err.strerror or err}", hint=remedy(err)) from err
