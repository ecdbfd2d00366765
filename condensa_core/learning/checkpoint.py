"""State of an L-C run on disk, saved after every L step: tensors as safetensors, the rest as JSON in its header."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from condensa_core.learning.saved_state import are_facts
from condensa_core.learning.unlisted_state import Plain
from condensa_core.whole_file import replacing
from condensa_core.workload import content_digest

_FORMAT = "condensa.lc/6"
_PARTS = ("live", "multipliers", "best", "best_shifted", "earlier", "unlisted")


@dataclass(frozen=True, eq=False)
class Progress:
    """All that the loop needs to go on: L step `step` is done, its C step is not.

    `live` and `best` are state dicts (w with buffers; the best Delta(Theta), empty before step 1), `multipliers` are
    lambda before the update of `step`, `loss` is the mean of that L step, `history` the entries of the steps before,
    `spent` the record of the meter. `unlisted` and `numbers` are what changed in w outside its state dict.
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
    unlisted: dict[str, Tensor] = field(default_factory=dict)
    numbers: dict[str, Plain] = field(default_factory=dict)

    def on(self, device: torch.device) -> Progress:
        """The same with every tensor on `device`; those outside a state dict go where each was."""
        parts = [part for part in _PARTS if part != "unlisted"]
        moved: dict[str, Any] = {part: {n: t.to(device) for n, t in getattr(self, part).items()} for part in parts}
        return dataclasses.replace(self, **moved)


class Checkpoint:
    """One file that always holds the last saved progress: it is replaced in one piece or not at all.

    `of` says of which training: what another saved is not gone on with, wherever the file came from.
    """

    def __init__(self, path: Path, of: str = "") -> None:
        self._path = path
        self._of = of

    def save(self, progress: Progress) -> None:
        """Replace the file. OSError of a full disk passes through; the previous state is then still there."""
        tensors = {
            f"{part}/{name}": tensor.detach().clone().contiguous()  # tied weights: safetensors refuses shared storage
            for part in _PARTS
            for name, tensor in getattr(progress, part).items()
        }
        facts = json.dumps(
            {
                "step": progress.step,
                "loss": progress.loss,
                "history": progress.history,
                "best_step": progress.best_step,
                "spent": progress.spent,
                "numbers": progress.numbers,
            }
        )
        metadata = {"format": _FORMAT, "of": self._of, "facts": facts, "digest": _digest(self._of, facts, tensors)}
        with replacing(self._path) as temporary:
            temporary.write_bytes(save(tensors, metadata))

    def load(self, told: Callable[[str], None] = lambda why: None) -> Progress | None:
        """The saved progress; None where nothing was saved, or nothing that can be gone on with: `told` hears why.

        The step is then learned anew, to the same result: a damaged file costs time, never a trial.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as err:
            told(f"{self._path} cannot be read ({err.strerror or err})")
            return None
        try:
            of, facts, tensors = _read(content)
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            told(f"{self._path} is damaged, or of another version of condensa")
            return None
        if of != self._of:
            told(f"{self._path} is of another training")
            return None
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        return Progress(**{**facts, **parts, "history": tuple(facts["history"])})


def _read(content: bytes) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Training, facts and tensors of a file that is whole and of this format; else an error that `load` names."""
    size = int.from_bytes(content[:8], "little")
    if size > len(content):
        raise ValueError("the header is not whole")
    header = json.loads(content[8 : 8 + size])
    metadata = header["__metadata__"]
    tensors = load(content)
    if metadata["format"] != _FORMAT:
        raise ValueError("another format")
    if metadata["digest"] != _digest(metadata["of"], metadata["facts"], tensors):
        raise ValueError("not what was written")
    facts = json.loads(metadata["facts"])
    if not are_facts(facts) or any(key.partition("/")[0] not in _PARTS for key in tensors):
        raise ValueError("not what is written")  # whoever forges a file can forge its digest
    return metadata["of"], facts, tensors


def _digest(of: str, facts: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over all that is saved; safetensors itself would not notice a flipped bit."""
    return hashlib.sha256("\0".join((of, facts, content_digest(sorted(tensors.items())))).encode()).hexdigest()
