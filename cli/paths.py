"""Whether a typed path names something: a name the system refuses (too long, no permission) names nothing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from condensa_core.errors import UsageError

_BEGINNING: Final = 1024  # bytes


def is_file(path: Path) -> bool:
    """As `Path.is_file`, which raises for such names before Python 3.14."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """As `Path.is_dir`, in the same way."""
    try:
        return path.is_dir()
    except OSError:
        return False


def require_file_name(option: str, path: Path | None, holds: str = "") -> None:
    """UsageError where what `option` names, if anything, cannot be a file: a folder, or no name at all.

    With `holds`, a text that what is written begins with, also where a file is there that holds something else: a
    model or recipe that was named by mistake.
    """
    if path is not None and (path.name in ("", "..") or is_folder(path)):
        raise UsageError(f"{option} needs the name of a file, and {path} is a folder", hint="name a file in it")
    if path is None or not holds or not is_file(path):
        return
    with suppress(OSError), path.open("rb") as file:  # what cannot be read may be writable
        begins = file.read(_BEGINNING)
        if begins and holds.encode() not in begins:
            raise UsageError(
                f"{option} would replace {path}, which holds something else",
                hint="name another file, or remove that one",
            )
