"""Where a path in a recipe leads."""

from __future__ import annotations

from pathlib import Path

from condensa_core.errors import WorkloadError


def located(path: str, directory: Path) -> Path:
    """`path` from `directory` on; a leading `~` or `~user` is a home folder (WorkloadError if there is none)."""
    try:
        return directory / Path(path).expanduser()
    except RuntimeError as err:
        raise WorkloadError(f"{path!r} begins with a home folder that is not known") from err
