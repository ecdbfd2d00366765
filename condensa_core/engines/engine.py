"""The records of an engine: what it was built from and for, and what is known of it without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from condensa_core.engines.acceptance import Precision
from condensa_core.engines.family import capability_text
from condensa_core.errors import UsageError


@dataclass(frozen=True)
class Batches:
    """The batch sizes an engine takes, and the one it is made fastest for; UsageError unless 1 <= min <= opt <= max."""

    min: int = 1
    opt: int = 8
    max: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise UsageError(f"batches must rise from at least 1, got {self.min}, {self.opt}, {self.max}")

    def __str__(self) -> str:
        return f"batch {self.max}" if self.min == self.max else f"batches {self.min} to {self.max}"


@dataclass(frozen=True)
class Engine:
    """A serialised engine on disk.

    `weights_bytes`, `activation_bytes` and `scratch_bytes` are the memory the build log tells (None where it does not),
    at the largest batch; `size_bytes` counts code as well. `layers` are those of the network before fusion. `build_s`
    is what building took, also when it came from the cache.
    """

    path: Path
    size_bytes: int
    sha256: str
    runtime: str  # name and version of the family
    capabilities: tuple[int, ...]
    precision: Precision
    batches: Batches | None  # None: the file fixes its shapes
    weights_bytes: int | None
    activation_bytes: int | None
    scratch_bytes: int | None
    layers: int
    build_s: float
    log: tuple[str, ...] = field(repr=False)
    cached: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data, the log left out."""
        record = {name: value for name, value in asdict(self).items() if name != "log"}
        return record | {"path": str(self.path), "capabilities": [capability_text(c) for c in self.capabilities]}


def facts_of(engine: Engine) -> dict[str, Any]:
    """Everything but the place, as JSON values from which `engine_from` makes an equal record."""
    record = asdict(engine)
    del record["path"], record["cached"]
    return record


def engine_from(facts: Mapping[str, Any], path: Path) -> Engine:
    """The cached engine of `facts_of`; KeyError, TypeError or ValueError where they are not what that wrote."""
    record = dict(facts)
    batches = record["batches"]
    return Engine(
        **record
        | {
            "path": path,
            "cached": True,
            "batches": None if batches is None else Batches(**batches),
            "capabilities": tuple(record["capabilities"]),
            "log": tuple(record["log"]),
        }
    )
