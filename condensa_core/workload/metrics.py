"""Figures of merit of a classifier, each the mean of one value per sample."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from torch import Tensor
from torch.nn import functional

from condensa_core.errors import WorkloadError

if TYPE_CHECKING:
    from condensa_core.recipe import Recipe

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """A named figure: `values` gives one number per sample (b) from outputs (b x classes) and targets (b)."""

    name: str
    better: Better
    values: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Score:
    """A mean over `count` samples with its standard error.

    The error is the samples' standard deviation over the root of their number; for values 0 and 1 that is the
    binomial sqrt(p (1 - p) / n), and 0 where all samples agree.
    """

    value: float
    stderr: float
    count: int
    better: Better

    @classmethod
    def of(cls, values: Tensor, better: Better) -> Score:
        """The score of one value per sample; at least one."""
        exact = values.double()
        deviation = float(exact.std(correction=0))
        return cls(float(exact.mean()), deviation / math.sqrt(len(exact)), len(exact), better)


def _top1(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) == targets).double()


def _top5(outputs: Tensor, targets: Tensor) -> Tensor:
    chosen = outputs.topk(min(5, outputs.shape[1]), dim=1).indices
    return (chosen == targets.unsqueeze(1)).any(1).double()


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


# Fractions 0..1 of samples whose class is the first choice, or among the first five (all, if there are fewer); nats.
TOP1: Final = Metric("top1", "higher", _top1)
TOP5: Final = Metric("top5", "higher", _top5)
LOSS: Final = Metric("loss", "lower", _loss)
METRICS: Final = {metric.name: metric for metric in (TOP1, TOP5, LOSS)}


def metrics_named(recipe: Recipe) -> dict[str, Metric]:
    """The metrics of a recipe by the names it gives them, and top1, top5 and loss by their own.

    WorkloadError for a kind that does not exist, and where a built-in name is given to another kind: `top1` in a
    result means the same in every run.
    """
    named = dict(METRICS)
    for name, spec in (recipe.metrics or {}).items():
        kind = spec.kind
        if kind not in METRICS:
            near = difflib.get_close_matches(str(kind), METRICS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(METRICS)
            raise WorkloadError(f"metric {name!r}: kind {kind!r} is not available in this version", hint=hint)
        if name in METRICS and kind != name:
            raise WorkloadError(
                f"metric {name!r} is built in and cannot be of kind {kind!r}", hint="choose another name"
            )
        named[name] = Metric(name, METRICS[kind].better, METRICS[kind].values)
    return named
