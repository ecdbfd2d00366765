"""Trained references on disk, in the cache and in runs, each under the hash of everything that decided its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from condensa_core.errors import MachineError, WorkloadError
from condensa_core.whole_file import remedy, remove_leftovers, replacing
from condensa_core.workload.digest import content_digest
from condensa_core.workload.training import EpochRecord


@dataclass(frozen=True, eq=False)
class Kept:
    """A reference from the cache, what it computed for a few samples, and the version of torch that trained it."""

    state: dict[str, Tensor]
    outputs: tuple[float, ...]
    history: tuple[EpochRecord, ...]
    torch: str


def read_entry(path: Path) -> Kept:
    """A cache entry; WorkloadError unless the weights are those that were written, under this very name."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        state = load_file(path)
        history = tuple(EpochRecord(**record) for record in json.loads(metadata["history"]))
        outputs = tuple(map(float, json.loads(metadata["outputs"])))
        digest, key, version = metadata["digest"], metadata["key"], metadata["torch"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as err:
        raise WorkloadError(f"{path} is not a readable reference: {err}") from err
    if state_digest(state) != digest:
        raise WorkloadError(f"{path} has changed since it was written")
    if key != path.stem:
        raise WorkloadError(f"{path} is the reference of another model, other data or other settings: {key}")
    return Kept(state, outputs, history, version)


def write_entry(
    path: Path,
    state: Mapping[str, Tensor],
    outputs: tuple[float, ...],
    history: tuple[EpochRecord, ...],
    trained_by: str | None = None,
) -> None:
    """Writes a cache entry so that `path` holds all of it or does not exist; MachineError when the disk refuses.

    `trained_by` is the version of torch that did, if it was not this one.
    """
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    metadata = {"digest": state_digest(stored), "history": json.dumps([asdict(record) for record in history])}
    metadata |= {"key": path.stem, "torch": trained_by or torch.__version__, "outputs": json.dumps(outputs)}
    remove_leftovers(path.parent)
    try:
        with replacing(path) as partial:
            partial.write_bytes(save(stored, metadata))
    except OSError as err:
        raise MachineError(
            f"the trained reference could not be kept in {path.parent}: {err}", hint=remedy(err)
        ) from err


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over a state_dict, whatever the order of its names."""
    return content_digest(sorted(state.items()))
