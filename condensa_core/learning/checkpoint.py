"""State of an L-C run on disk, saved after every L step: tensors as safetensors, the rest as JSON in its header."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from condensa_core.whole_file import replacing

_FORMAT = "condensa.lc/3"
_PARTS = ("live", "multipliers", "best", "best_shifted", "earlier")


@dataclass(frozen=True, eq=False)
class Progress:
    """All that the loop needs to go on: L step `step` is done, its C step is not.

    `live` and `best` are state dicts (w with buffers; the best Delta(Theta), empty before step 1), `multipliers` are
    lambda before the update of `step`, `loss` is the mean of that L step, `history` the entries of the steps before,
    `spent` the record of the meter.
    Data order and random numbers follow from the step and the seed; momentum restarts in every L step.
    """

    step: int
    loss: float
    live: dict[str, Tensor]
    multipliers: dict[str, Tensor]
    history: tuple[dict[str, Any], ...]
    best_step: int
    best: dict[str, Tensor]
    best_shifted: dict[str, Tensor]  # what the best step projected: its codes are made from it
    earlier: dict[str, Tensor]  # what step - 1 projected
    spent: dict[str, Any]

    def on(self, device: torch.device) -> Progress:
        """The same with every tensor on `device`."""
        moved: dict[str, Any] = {part: {n: t.to(device) for n, t in getattr(self, part).items()} for part in _PARTS}
        return dataclasses.replace(self, **moved)


class Checkpoint:
    """One file that always holds the last saved progress: it is replaced in one piece or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, progress: Progress) -> None:
        """Replace the file. OSError of a full disk passes through; the previous state is then still there."""
        tensors = {
            f"{part}/{name}": tensor.detach().clone().contiguous()  # tied weights: safetensors refuses shared storage
            for part in _PARTS
            for name, tensor in getattr(progress, part).items()
        }
        facts = {
            "step": progress.step,
            "loss": progress.loss,
            "history": progress.history,
            "best_step": progress.best_step,
            "spent": progress.spent,
        }
        with replacing(self._path) as temporary:
            save_file(tensors, temporary, metadata={"format": _FORMAT, "facts": json.dumps(facts)})

    def load(self) -> Progress | None:
        """The saved progress; None where nothing was saved or the file is not readable as one."""
        if not self._path.exists():
            return None
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
        try:
            with safe_open(self._path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT:
                    return None
                for key in file.keys():  # noqa: SIM118 - not a dict
                    part, _, name = key.partition("/")
                    parts[part][name] = file.get_tensor(key)
        except SafetensorError:
            return None
        facts: dict[str, Any] = json.loads(metadata["facts"])
        return Progress(**{**facts, **parts, "history": tuple(facts["history"])})
