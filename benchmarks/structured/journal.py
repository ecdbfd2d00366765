"""What was measured so far: one JSON line for each piece of work, so that a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import condensa_core

_ENGINE = ("graph", "materialise")


def engine_digest() -> str:
    """Eight hex digits that change with the engine's source: what an older engine did is measured again."""
    digest = hashlib.sha256()
    assert condensa_core.__file__ is not None
    core = Path(condensa_core.__file__).parent
    for room in _ENGINE:
        for file in sorted((core / room).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


class Journal:
    """Append-only; the last line of a piece of work counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            with self.path.open() as lines:
                for line in lines:
                    yield json.loads(line)

    def latest(self) -> dict[tuple[str, str], dict[str, Any]]:
        """By work and architecture."""
        return {(entry["work"], entry["architecture"]): entry for entry in self}

    def add(self, entry: dict[str, Any]) -> None:
        with self.path.open("a") as lines:
            lines.write(json.dumps(entry) + "\n")
