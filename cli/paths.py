"""Whether a typed path names something: a name the system refuses (too long, no permission) names nothing."""

from __future__ import annotations

from pathlib import Path


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
