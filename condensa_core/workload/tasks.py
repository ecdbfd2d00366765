"""What a model is trained for: the loss that belongs to a task, and the figures it is judged by."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from torch import Tensor
from torch.nn import functional

from condensa_core.errors import WorkloadError
from condensa_core.workload.metrics import LOSS, PERPLEXITY, TOP1, TOP5, Metric

if TYPE_CHECKING:
    from condensa_core.recipe import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]


def _token_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())


@dataclass(frozen=True)
class Task:
    """`loss` is the mean of a batch; `metrics` every result has; the epoch that is best by `chief` is the reference."""

    name: str
    loss: Loss
    metrics: tuple[Metric, ...]
    chief: Metric
    reads_tokens: bool = False

    @property
    def counts(self) -> Literal["samples", "tokens"]:
        """What `count` of a score counts: one prediction for each of these."""
        return "tokens" if self.reads_tokens else "samples"


TASKS: Final = {
    task.name: task
    for task in (
        Task("classification", functional.cross_entropy, (TOP1, TOP5, LOSS), TOP1),
        Task("language-model", _token_loss, (PERPLEXITY, LOSS, TOP1, TOP5), PERPLEXITY, reads_tokens=True),
    )
}


def task_named(name: str) -> Task:
    """The task of that name; WorkloadError lists the known ones."""
    if name not in TASKS:
        raise WorkloadError(f"task {name!r} is not available in this version", hint="known: " + ", ".join(TASKS))
    return TASKS[name]


def task_loss(task: str) -> Loss:
    """The mean loss of a batch: from outputs (b x classes) and targets (b), or with one of each for every token."""
    return task_named(task).loss


def check_task(task: Task, vocabulary: int | None) -> None:
    """WorkloadError unless data of this `vocabulary` (None: it holds no tokens) is what the task is about."""
    if task.reads_tokens and vocabulary is None:
        raise WorkloadError(f"task {task.name!r} needs text, and this data holds no tokens")
    if not task.reads_tokens and vocabulary is not None:
        raise WorkloadError(f"task {task.name!r} does not read text", hint="write task: language-model")


def metrics_named(recipe: Recipe) -> dict[str, Metric]:
    """The metrics of a recipe by the names it gives them, and those of its task by their own.

    WorkloadError for a kind that the task does not have, and where a built-in name is given to another kind: `top1` in
    a result means the same in every run.
    """
    task = task_named(recipe.task)
    own = {metric.name: metric for metric in task.metrics}
    named = dict(own)
    for name, spec in (recipe.metrics or {}).items():
        kind = spec.kind
        if kind not in own:
            near = difflib.get_close_matches(str(kind), own, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"{task.name} has: " + ", ".join(own)
            raise WorkloadError(f"metric {name!r}: kind {kind!r} is not available in this version", hint=hint)
        if name in own and kind != name:
            raise WorkloadError(
                f"metric {name!r} is built in and cannot be of kind {kind!r}", hint="choose another name"
            )
        named[name] = dataclasses.replace(own[kind], name=name)
    return named
