"""A model judged on samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from condensa_core.errors import Diverged, WorkloadError
from condensa_core.evaluation_mode import evaluating
from condensa_core.progress import Listener, silent, stoppable
from condensa_core.workload.batches import Batches
from condensa_core.workload.metrics import Metric, Score
from condensa_core.workload.watch import seen_running


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores by metric name, the class chosen in each prediction, in order (n, or n x t for samples of t tokens; int64,
    CPU), and the values whose mean each score is (of the same shape, CPU)."""

    scores: Mapping[str, Score]
    predictions: Tensor | None
    values: Mapping[str, Tensor] = field(default_factory=dict)


def evaluate(module: nn.Module, batches: Batches, metrics: Sequence[Metric], listener: Listener = silent) -> Evaluation:
    """The metrics over one fixed pass of `batches`, on the module's device, in evaluation mode and without gradients.

    The training flag of every submodule is left as it was. Diverged when an output is NaN or infinite; WorkloadError
    when outputs are not one score per class, of each sample or of each of its tokens.
    """
    values: dict[str, list[Tensor]] = {metric.name: [] for metric in metrics}
    predictions = []
    device = device_of(module)
    with evaluating(module), torch.inference_mode():
        for position, (inputs, given) in enumerate(stoppable(batches, listener)):
            targets = given.to(device)
            with seen_running(f"the forward pass of {type(module).__name__}"):
                outputs = module(inputs.to(device))
            check_scores(outputs, targets.shape, int(targets.max()) + 1)
            if not bool(outputs.isfinite().all()):
                raise Diverged(
                    f"the model's outputs are not finite (batch {position})",
                    hint="look at the weights: they may have been trained at too high a learning rate",
                )
            for metric in metrics:
                found = metric.values(outputs.flatten(0, -2), targets.flatten())
                values[metric.name].append(found.view(targets.shape).cpu())
            predictions.append(outputs.argmax(-1).cpu())
    settled = {metric.name: metric.settle(torch.cat(values[metric.name])) for metric in metrics}
    scores = {metric.name: Score.of(settled[metric.name], metric.better) for metric in metrics}
    return Evaluation(scores, torch.cat(predictions), settled)


def agreement(a: Evaluation, b: Evaluation) -> Score:
    """The fraction of predictions in which two evaluations of the same samples chose the same class."""
    if a.predictions is None or b.predictions is None or a.predictions.shape != b.predictions.shape:
        raise WorkloadError("agreement needs two evaluations of the same samples")
    return Score.of((a.predictions == b.predictions).double(), "higher")


def difference_stderr(a: Evaluation, b: Evaluation, metric: str) -> float:
    """The standard error of a's metric minus b's on the same samples: what the samples share cancels.

    At least 1 / n for n values that are 0 or 1: agreement in every one is no proof of equality.
    """
    mine, base = a.values[metric].double(), b.values[metric].double()
    if mine.shape != base.shape:
        raise WorkloadError("a difference needs two evaluations of the same samples")
    counted = bool(((mine == 0) | (mine == 1)).all())
    return max(Score.of(mine - base, "lower").stderr, 1 / mine.numel() if counted else 0.0)


def device_of(module: nn.Module) -> torch.device:
    """The device of the module's first parameter or buffer; the CPU where it has none."""
    first = next(iter([*module.parameters(), *module.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


_WRAP: Final = (
    "name a module that calls this model and returns the tensor of scores alone; of a detector, whose output is boxes, "
    "compress the backbone"
)


def check_scores(outputs: object, shape: Sequence[int], classes: int) -> None:
    """WorkloadError unless a model's `outputs`, for targets of `shape`, hold one score for each of at least `classes`.

    Targets have the shape b (one of a sample) or b x t (one of each token).
    """
    if not isinstance(outputs, Tensor) or outputs.shape[:-1] != tuple(shape):
        found = tuple(outputs.shape) if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        samples = f"{shape[0]} samples" + (f" of {shape[1]} tokens" if len(shape) > 1 else "")
        wanted = "one score per class" + (" for every token" if len(shape) > 1 else "")
        raise WorkloadError(
            f"the model gives {found} for {samples}, expected {wanted}",
            hint=None if isinstance(outputs, Tensor) else _WRAP,
        )
    if not outputs.is_floating_point():
        raise WorkloadError(f"the model gives {outputs.dtype}, expected floating-point scores")
    require_classes(classes, outputs.shape[-1])


def require_classes(held: int, known: int) -> None:
    """WorkloadError where the data holds more classes than the model knows."""
    if held > known:
        raise WorkloadError(
            f"the data holds class {held - 1}, the model knows {known} classes",
            hint="build the model for as many classes as the data has",
        )
