"""Random throughput staircases: what hardware makes of sparsity when it works in multiples of 8, 16 or 32 channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from curves import Task, task
from families import Array

from condensa_core.randomness import Seed

SETTINGS: Final = 1248  # sparsities at which the objective is known, evenly spread in the log-density
WIDTHS: Final = (64, 96, 128, 160, 192, 256, 320, 384, 512, 640)
MULTIPLES: Final = (8, 16, 32)


@dataclass(frozen=True)
class Staircase:
    """The throughput of a chain of layers, all pruned to one sparsity, relative to the whole network's.

    A layer costs `overhead` + work * in * out with channels padded to the next `multiple`; one whose kept channels are
    no multiple takes `penalty` times as long, which makes a slightly pruned network slower than the whole one.
    """

    widths: tuple[int, ...]
    work: tuple[float, ...]  # of each layer at full width; sums to 1
    multiple: int
    penalty: float
    overhead: float

    def __call__(self, sparsity: float | Array) -> Array:
        return self._time(np.zeros(1))[0] / self._time(np.asarray(sparsity, dtype=np.float64))

    def _time(self, s: Array) -> Array:
        width = np.array(self.widths, dtype=np.float64)
        kept = np.maximum(np.round((1 - s[..., None]) * width), 1)  # ... x layers
        padded = np.ceil(kept / self.multiple) * self.multiple / width
        inputs = np.concatenate([np.ones_like(padded[..., :1]), padded[..., :-1]], axis=-1)
        aligned = kept % self.multiple == 0
        cost = np.array(self.work) * inputs * padded * np.where(aligned, 1.0, self.penalty)
        return np.asarray(self.overhead + cost.sum(axis=-1))


def staircase(seed: int) -> Staircase:
    """The staircase of a seed: 2 to 11 layers, multiples of 8, 16 or 32, penalty 1.05 to 1.5, overhead 2 to 20 %."""
    draw = Seed(seed).numpy_generator("staircase")
    layers = int(draw.integers(2, 12))
    multiple = MULTIPLES[int(draw.integers(len(MULTIPLES)))]
    wide = [width for width in WIDTHS if width % multiple == 0]
    widths = tuple(sorted(int(w) for w in draw.choice(wide, layers)))
    work = draw.dirichlet(np.full(layers, 2.0))
    return Staircase(
        widths, tuple(map(float, work)), multiple, float(draw.uniform(1.05, 1.5)), float(draw.uniform(0.02, 0.2))
    )


@dataclass(frozen=True)
class StairTask(Task):
    """A task whose objective is a staircase."""

    stairs: Staircase

    def throughput(self, sparsity: float | Array) -> Array:
        return self.stairs(sparsity)


def stair_task(seed: int, index: int) -> StairTask:
    """Task `index` of a benchmark's seed: the same accuracies as the smooth task's, another objective."""
    smooth = task(seed, index)
    return StairTask(**vars(smooth), stairs=staircase(smooth.seed))
