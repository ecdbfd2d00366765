"""The files behind a Python reference: the one it names, and those beside it that this one imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from condensa_core.run_directory import file_sha256


def sources_of(reference: str, directory: Path) -> tuple[Path, ...]:
    """Every file that decides what `file.py:object` or `package.module:object` is, sorted: its own, and what it imports
    from its own folder or from `directory`, however deep; nothing is run.

    Of an installed module, itself and what it imports relatively: its version says the rest. Empty for a module
    without a file, and where there is no such file.
    """
    source = reference.rpartition(":")[0]
    roots = [directory.resolve()]
    if source.endswith(".py"):
        first = (directory / source).resolve()
        roots.insert(0, first.parent)
        left = [first]
    else:
        left = list(_module_files(source, roots)) or _installed(source)
    seen: set[Path] = set()
    while left:
        path = left.pop()
        if path not in seen and path.is_file():
            seen.add(path)
            left += _imported_by(path, roots)
    return tuple(sorted(seen))


def source_digest(reference: str, directory: Path) -> str:
    """SHA-256 (hex) over the content of `sources_of`; of the reference's own text where there are none."""
    parts = [f"{path.name}:{file_sha256(path)}" for path in sources_of(reference, directory)]
    return hashlib.sha256(";".join(parts or [reference]).encode()).hexdigest()


def _imported_by(path: Path, roots: list[Path]) -> Iterator[Path]:
    """Files of this folder or the roots that a Python file imports anywhere in it; none where it cannot be parsed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module_files(alias.name, roots)
        elif isinstance(node, ast.ImportFrom):
            at = roots
            if node.level:
                at = [path.parents[node.level - 1]] if node.level <= len(path.parents) else []
            base = f"{node.module}." if node.module else ""
            for alias in node.names:
                yield from _module_files(f"{base}{alias.name}", at)


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


def _installed(name: str) -> list[Path]:
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return []
    return [Path(found.origin)] if found is not None and found.origin else []
