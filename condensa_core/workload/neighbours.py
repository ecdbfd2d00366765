"""Modules that the user's files import from beside them: forgotten once their files say something else."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from condensa_core.run_directory import file_sha256

_NOT_THEIRS: Final = frozenset({"condensa_core", "condensa_cli", "condensa_recipes"})


@dataclass(frozen=True)
class _Imported:
    path: Path
    sha256: str


_imported: dict[str, _Imported] = {}


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """The folder first on `sys.path` inside, whose modules are imported as their files are now.

    Those that an earlier block imported or found, and whose file has changed since or is not the one that this folder
    has under that name, are forgotten first, and all others with them, since they may hold what those gave.
    """
    folder = folder.resolve()
    if any(_is_stale(name, kept, folder) for name, kept in _imported.items()):
        _forget()
    _note(folder)
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have removed it already
            sys.path.remove(entry)
        _note(folder)


def _note(folder: Path) -> None:
    """Remember the folder's modules, whoever imported them, by what their files say when they are first seen."""
    for name in sys.modules.keys() - _imported.keys():
        path = _file_of(name, folder)
        if path is not None:
            _imported[name] = _Imported(path, file_sha256(path))


def _forget() -> None:
    for name in _imported:
        sys.modules.pop(name, None)
        while "." in name:  # a folder without __init__.py keeps what was imported from it, and has no file to tell
            name = name.rpartition(".")[0]
            if name in sys.modules and getattr(sys.modules[name], "__file__", None) is None:
                del sys.modules[name]
    _imported.clear()
    importlib.invalidate_caches()


def _is_stale(name: str, kept: _Imported, folder: Path) -> bool:
    if not kept.path.is_file() or file_sha256(kept.path) != kept.sha256:
        return True
    stem = folder.joinpath(*name.split("."))
    here = [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
    return bool(here) and kept.path not in here


def _file_of(name: str, folder: Path) -> Path | None:
    """The module's file, if it is Python in the folder and neither installed there nor ours."""
    origin = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(origin, str) or not Path(origin).is_relative_to(folder):
        return None
    if name == "__main__" or name.partition(".")[0] in _NOT_THEIRS or name.startswith("_condensa_user_"):
        return None
    path = Path(origin).resolve()
    theirs = path.suffix == ".py" and path.is_relative_to(folder) and path.is_file()
    return path if theirs and not {"site-packages", "dist-packages"} & set(path.parts) else None
