"""Engines that were built before, by everything that decides their bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from condensa_core.engines.engine import Engine, engine_from, facts_of
from condensa_core.errors import CondensaError, MachineError
from condensa_core.export.provenance import strip
from condensa_core.whole_file import remedy, remove_leftovers, replacing

if TYPE_CHECKING:
    import onnx

FORM: Final = 1  # of an entry and of its key; another number leaves older entries alone


def identity(model: onnx.ModelProto) -> str:
    """The sha256 of what the model computes and with which weights: not by which tool, without comments and traces."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    strip(bare)
    for name in ("producer_name", "producer_version", "domain", "model_version"):
        bare.ClearField(name)
    bare.graph.ClearField("name")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


class Shelf:
    """A folder of engines, each beside its facts; made when the first is put there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def key(self, model: onnx.ModelProto, settings: Mapping[str, Any]) -> str:
        """64 hex digits for this model built with these settings (JSON values)."""
        decisive = {"form": FORM, "model": identity(model), **settings}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def find(self, key: str) -> Engine | None:
        """The engine, or None where there is none or what lies there is damaged (then `holds` says so)."""
        path, facts = self._paths(key)
        try:
            engine = engine_from(json.loads(facts.read_text(encoding="utf-8")), path)
            content = path.read_bytes()
        except (OSError, ValueError, KeyError, TypeError, RecursionError, CondensaError):
            return None
        whole = hashlib.sha256(content).hexdigest() == engine.sha256 and len(content) == engine.size_bytes
        return engine if whole else None

    def holds(self, key: str) -> bool:
        """Whether anything lies there, whole or not."""
        return any(path.exists() for path in self._paths(key))

    def put(self, key: str, content: bytes, engine: Engine) -> Engine:
        """The engine with its place on the shelf; MachineError when the disk says no."""
        path, facts = self._paths(key)
        remove_leftovers(self._folder)
        try:
            for target, data in ((path, content), (facts, json.dumps(facts_of(engine)).encode())):
                with replacing(target) as partial:
                    partial.write_bytes(data)
        except OSError as err:
            refused = f"cannot keep the engine in {self._folder}: {err.strerror or err}"
            raise MachineError(refused, hint=remedy(err)) from err
        return replace(engine, path=path)

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self._folder / f"{key}.engine", self._folder / f"{key}.json"
