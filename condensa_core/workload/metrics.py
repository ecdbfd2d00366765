"""Figures of merit, each the mean of one value per prediction: of a sample, or of each of its tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from torch import Tensor
from torch.nn import functional

Better = Literal["higher", "lower"]


def _as_they_are(values: Tensor) -> Tensor:
    return values


@dataclass(frozen=True)
class Metric:
    """A named figure: `values` gives one number per prediction (p) from outputs (p x classes) and targets (p).

    `settle` turns the values of all predictions into those whose mean is the figure and whose spread is its noise.
    """

    name: str
    better: Better
    values: Callable[[Tensor, Tensor], Tensor]
    settle: Callable[[Tensor], Tensor] = _as_they_are


@dataclass(frozen=True)
class Score:
    """A mean over `count` predictions with its standard error.

    With one prediction per sample the error is the standard deviation over the root of their number; for values 0 and 1
    that is the binomial sqrt(p (1 - p) / n), and 0 where all samples agree. Tokens of one sample share their context
    and are no independent draws: there the error is that of the mean of the samples' means.
    """

    value: float
    stderr: float
    count: int
    better: Better

    @classmethod
    def of(cls, values: Tensor, better: Better) -> Score:
        """The score of one value per sample (n), or per token of samples of equal length (n x t); at least one."""
        exact = values.double()
        samples = exact.flatten(1).mean(1) if exact.dim() > 1 else exact
        deviation = float(samples.std(correction=0))
        return cls(float(exact.mean()), deviation / math.sqrt(len(samples)), exact.numel(), better)


def _top1(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(1) == targets).double()


def _top5(outputs: Tensor, targets: Tensor) -> Tensor:
    chosen = outputs.topk(min(5, outputs.shape[1]), dim=1).indices
    return (chosen == targets.unsqueeze(1)).any(1).double()


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


def _exponential(values: Tensor) -> Tensor:
    """exp of the mean, linearised about it (the delta method): differences of two figures have their true noise too."""
    exact = values.double()
    mean = exact.mean()
    return mean.exp() * (1 + exact - mean)


# Fractions 0..1 of predictions whose class is the first choice, or among the first five (all, if there are fewer);
# nats; and exp of the mean of these, the number of equally likely choices that would be as hard to tell.
TOP1: Final = Metric("top1", "higher", _top1)
TOP5: Final = Metric("top5", "higher", _top5)
LOSS: Final = Metric("loss", "lower", _loss)
PERPLEXITY: Final = Metric("perplexity", "lower", _loss, _exponential)
METRICS: Final = {metric.name: metric for metric in (TOP1, TOP5, LOSS, PERPLEXITY)}
