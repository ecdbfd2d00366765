"""What a model is trained for: the loss that belongs to a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import Tensor
from torch.nn import functional

from condensa_core.errors import WorkloadError

Loss = Callable[[Tensor, Tensor], Tensor]

TASKS: Final[dict[str, Loss]] = {"classification": functional.cross_entropy}


def task_loss(task: str) -> Loss:
    """The mean loss of a batch, from outputs (b x classes) and targets (b)."""
    if task not in TASKS:
        raise WorkloadError(f"task {task!r} is not available in this version", hint="known: " + ", ".join(TASKS))
    return TASKS[task]
