"""The files that a trial leaves for the end of its run, known by their hashes: what ships is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from condensa_core.errors import RunFailed
from condensa_core.run_directory import file_sha256


def file_hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 (hex) of those of these files that are there, by name."""
    return {name: file_sha256(folder / name) for name in sorted(names) if (folder / name).is_file()}


def require_as_left(folder: Path, left: Mapping[str, str]) -> None:
    """RunFailed where one of the files that a trial left, with these hashes, is missing or another."""
    for name, expected in left.items():
        path = folder / name
        found = file_sha256(path) if path.is_file() else None
        if found != expected:
            state = "is missing" if found is None else f"has the SHA-256 {found}, and had {expected}"
            raise RunFailed(
                f"{path} {state}: it is not the file that the trial left",
                hint="put it back from a copy (without one a new run is needed)",
            )
