"""A model judged on samples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from condensa_core.errors import Diverged, WorkloadError
from condensa_core.workload.batches import Batches
from condensa_core.workload.metrics import Metric, Score


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores by metric name, the class chosen for each sample, in order (n, int64, CPU), and each sample's own value of
    each metric (n, CPU)."""

    scores: Mapping[str, Score]
    predictions: Tensor | None
    values: Mapping[str, Tensor] = field(default_factory=dict)


def evaluate(module: nn.Module, batches: Batches, metrics: Sequence[Metric]) -> Evaluation:
    """The metrics over one fixed pass of `batches`, on the module's device, in evaluation mode and without gradients.

    The training flag of every submodule is left as it was. Diverged when an output is NaN or infinite; WorkloadError
    when outputs are not one score per class.
    """
    values: dict[str, list[Tensor]] = {metric.name: [] for metric in metrics}
    predictions = []
    device = device_of(module)
    with evaluating(module), torch.inference_mode():
        for position, (inputs, given) in enumerate(batches):
            targets = given.to(device)
            outputs = module(inputs.to(device))
            check_scores(outputs, len(targets), int(targets.max()) + 1)
            if not bool(outputs.isfinite().all()):
                raise Diverged(f"the model's outputs are not finite (batch {position})")
            for metric in metrics:
                values[metric.name].append(metric.values(outputs, targets).cpu())
            predictions.append(outputs.argmax(1).cpu())
    by_sample = {name: torch.cat(parts) for name, parts in values.items()}
    scores = {metric.name: Score.of(by_sample[metric.name], metric.better) for metric in metrics}
    return Evaluation(scores, torch.cat(predictions), by_sample)


def agreement(a: Evaluation, b: Evaluation) -> Score:
    """The fraction of samples for which two evaluations of the same samples chose the same class."""
    if a.predictions is None or b.predictions is None or len(a.predictions) != len(b.predictions):
        raise WorkloadError("agreement needs two evaluations of the same samples")
    return Score.of((a.predictions == b.predictions).double(), "higher")


def difference_stderr(a: Evaluation, b: Evaluation, metric: str) -> float:
    """The standard error of a's metric minus b's on the same samples: what the samples share cancels.

    At least 1 / n for values that are 0 or 1: agreement on every sample is no proof of equality.
    """
    mine, base = a.values[metric].double(), b.values[metric].double()
    if len(mine) != len(base):
        raise WorkloadError("a difference needs two evaluations of the same samples")
    n = len(mine)
    counted = bool(((mine == 0) | (mine == 1)).all())
    return max(float((mine - base).std(correction=0)) / n**0.5, 1 / n if counted else 0.0)


def device_of(module: nn.Module) -> torch.device:
    """The device of the module's first parameter or buffer; the CPU where it has none."""
    first = next(iter([*module.parameters(), *module.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every submodule has the training flag it had before."""
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training


_WRAP: Final = (
    "name a module that calls this model and returns the tensor of scores alone; of a detector, whose output is boxes, "
    "compress the backbone"
)


def check_scores(outputs: object, count: int, classes: int) -> None:
    """WorkloadError unless a model's `outputs` for `count` samples hold one score for each of at least `classes`."""
    if not isinstance(outputs, Tensor) or outputs.dim() != 2 or len(outputs) != count:
        found = tuple(outputs.shape) if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise WorkloadError(
            f"the model gives {found} for {count} samples, expected one score per class",
            hint=None if isinstance(outputs, Tensor) else _WRAP,
        )
    if not outputs.is_floating_point():
        raise WorkloadError(f"the model gives {outputs.dtype}, expected floating-point scores")
    if classes > outputs.shape[1]:
        raise WorkloadError(f"the data holds class {classes - 1}, the model knows {outputs.shape[1]} classes")
