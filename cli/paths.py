"""Whether a typed path names something: a name the system refuses (too long, no permission) names nothing."""

from __future__ import annotations

from pathlib import Path

from condensa_core.errors import UsageError


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


def require_file_name(option: str, path: Path | None) -> None:
    """UsageError where what `option` names, if anything, cannot be a file: a folder, or no name at all."""
    if path is not None and (path.name in ("", "..") or is_folder(path)):
        raise UsageError(f"{option} needs the name of a file, and {path} is a folder", hint="name a file in it")
