"""Trained references kept on disk, each under the hash of everything that decided its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from condensa_core.errors import MachineError, WorkloadError
from condensa_core.whole_file import replacing
from condensa_core.workload.digest import content_digest
from condensa_core.workload.training import EpochRecord


def read_entry(path: Path) -> tuple[dict[str, Tensor], tuple[EpochRecord, ...]]:
    """Weights and history of a cache entry; WorkloadError unless the weights are those that were written."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        state = load_file(path)
        history = tuple(EpochRecord(**record) for record in json.loads(metadata["history"]))
        digest = metadata["digest"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as err:
        raise WorkloadError(f"{path} is not a readable reference: {err}") from err
    if state_digest(state) != digest:
        raise WorkloadError(f"{path} has changed since it was written")
    return state, history


def write_entry(path: Path, state: Mapping[str, Tensor], history: tuple[EpochRecord, ...]) -> None:
    """Writes a cache entry so that `path` holds all of it or does not exist; MachineError when the disk refuses."""
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    metadata = {"digest": state_digest(stored), "history": json.dumps([asdict(record) for record in history])}
    try:
        with replacing(path) as partial:
            save_file(stored, partial, metadata)
    except (OSError, SafetensorError) as err:
        raise MachineError(f"the trained reference could not be kept in {path.parent}: {err}") from err


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over a state_dict, whatever the order of its names."""
    return content_digest(sorted(state.items()))
