"""What was played so far: one JSON line for a contender and a task, so that a benchmark that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import condensa_core

Key = tuple[str, int, int, str]  # kind, benchmark seed, task, contender


def engine_digest() -> str:
    """Eight hex digits that change with the search's source and with the tasks': older plays are played again."""
    digest = hashlib.sha256()
    assert condensa_core.__file__ is not None
    tasks = Path(__file__).parent
    sources = sorted((Path(condensa_core.__file__).parent / "search").glob("*.py"))
    for file in [*sources, *(tasks / f"{name}.py" for name in ("families", "curves", "staircases", "playing"))]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


class Journal:
    """Append-only; plays of another engine are left out unless `engine` is None."""

    def __init__(self, path: Path, engine: str | None) -> None:
        self.path = path
        self.engine = engine
        self._plays: dict[Key, dict[str, Any]] = {}
        if path.exists():
            with path.open() as lines:
                for line in lines:
                    entry = json.loads(line)
                    if engine is None or entry["engine"] == engine:
                        self._plays[_key(entry)] = entry

    def __contains__(self, key: Key) -> bool:
        return key in self._plays

    def plays(self, kind: str, seed: int, contender: str) -> list[dict[str, Any]]:
        """In the order of tasks."""
        return [self._plays[k] for k in sorted(self._plays) if (k[0], k[1], k[3]) == (kind, seed, contender)]

    def add(self, entry: dict[str, Any]) -> None:
        self._plays[_key(entry)] = entry
        with self.path.open("a") as lines:
            lines.write(json.dumps({**entry, "engine": self.engine}) + "\n")


def _key(entry: dict[str, Any]) -> Key:
    return entry["kind"], entry["seed"], entry["task"], entry["contender"]
