"""The files behind a Python reference: the one it names, and those beside it that this one imports."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from condensa_core.run_directory import file_sha256

_OURS: Final = frozenset({"condensa_core", "condensa_cli", "condensa_recipes"})


def sources_of(reference: str, directory: Path) -> tuple[Path, ...]:
    """Every file that decides what `file.py:object` or `package.module:object` is, sorted: its own, and what it imports
    from its own folder, from `directory` or from packages that are worked on, however deep; nothing is run.

    Of packages that are installed, none: their version says what they are. Empty where there is no such file.
    """
    source = reference.rpartition(":")[0]
    roots = [directory.resolve()]
    if source.endswith(".py"):
        first = (directory / source).resolve()
        roots.insert(0, first.parent)
        left = [first]
    else:
        left = list(_found(source, roots))
    seen: set[Path] = set()
    while left:
        path = left.pop()
        if path not in seen and path.is_file():
            seen.add(path)
            left += _imported_by(path, roots)
    return tuple(sorted(seen))


def source_digest(reference: str, directory: Path) -> str:
    """SHA-256 (hex) over the content of `sources_of`, and the version of the package that the reference names."""
    parts = [f"{path.name}:{file_sha256(path)}" for path in sources_of(reference, directory)]
    parts += [f"{name}:{version}" for name, version in package_of(reference, directory).items()]
    return hashlib.sha256(";".join(parts or [reference]).encode()).hexdigest()


def package_of(reference: str, directory: Path) -> dict[str, str]:
    """The installed package that `package.module:object` is of and its version, `{"timm": "1.0.3"}`; else nothing."""
    source = reference.rpartition(":")[0]
    top = source.partition(".")[0]
    if source.endswith(".py") or any(_found(source, [directory.resolve()])) or top in sys.stdlib_module_names:
        return {}
    for name in (top, *importlib.metadata.packages_distributions().get(top, ())):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return {name: importlib.metadata.version(name)}
    return {}


def _imported_by(path: Path, roots: list[Path]) -> Iterator[Path]:
    """Files of this folder or the roots that a Python file imports anywhere in it; none where it cannot be parsed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _found(alias.name, roots)
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            for alias in node.names:
                if not node.level:
                    yield from _found(f"{base}{alias.name}", roots)
                elif node.level <= len(path.parents):
                    yield from _module_files(f"{base}{alias.name}", [path.parents[node.level - 1]])


def _found(name: str, roots: list[Path]) -> Iterator[Path]:
    """The files that importing `name` runs, from the roots or else from a package that is worked on."""
    found = list(_module_files(name, roots))
    if not found:
        where = _worked_on(name.partition(".")[0])
        found = [] if where is None else list(_module_files(name, [where]))
    yield from found


def _module_files(name: str, roots: list[Path]) -> Iterator[Path]:
    """The files that importing `name` runs, packages first, in the first root that has the start of it.

    The last part may be no module but an object in one.
    """
    parts = name.split(".")
    for root in roots:
        found = []
        for count in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:count])
            found += [path for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py") if path.is_file()]
        if found:
            yield from found
            return


def _worked_on(top: str) -> Path | None:
    """The folder of a package whose files may change from day to day: neither installed nor Python's nor ours."""
    if top in sys.stdlib_module_names or top in _OURS:
        return None
    try:
        found = importlib.util.find_spec(top)  # of a package, not of what is in it: that would run the package
    except (ImportError, ValueError, AttributeError):
        return None
    if found is None or not found.origin or found.origin in ("built-in", "frozen"):
        return None
    folder = Path(found.origin).resolve().parent
    folder = folder.parent if found.submodule_search_locations else folder
    return None if _is_of_packages(folder) else folder


def _is_of_packages(folder: Path) -> bool:
    """Whether packages were installed into it, by whatever name: their records lie beside them, and torch's does."""
    return bool({"site-packages", "dist-packages"} & set(folder.parts)) or any(folder.glob("*.dist-info/RECORD"))
