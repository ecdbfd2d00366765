"""Text as samples: windows of equal length, each token with the one after it as its target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.workload.batches import Batch, Indexed


@dataclass(frozen=True, eq=False)
class WindowBatches(Indexed):
    """A stream of token ids (one dimension, any integer type) in windows of `length`, as int64 inputs and targets.

    Iterating gives the windows one after another; what is left at the end of the stream, less than a window, is not
    seen. Every window starts from nothing: no state is carried over. An `epoch` of training starts its windows at a
    random place within the first, so that no token always comes first.
    """

    stream: Tensor
    length: int
    batch: int
    seed: Seed = field(default_factory=Seed)
    training: bool = False

    def __post_init__(self) -> None:
        if self.length < 1 or self.batch < 1:
            raise WorkloadError(f"length and batch must be at least 1, got {self.length} and {self.batch}")
        if self.count < 1:
            raise WorkloadError(
                f"a split of {len(self.stream)} tokens holds no window of {self.length} and one more",
                hint="give more text, or a shorter data.length",
            )

    @property
    def count(self) -> int:  # type: ignore[override]  # read-only here: it follows from the stream
        return (len(self.stream) - 1) // self.length

    def __iter__(self) -> Iterator[Batch]:
        starts = torch.arange(self.count) * self.length
        for first in range(0, self.count, self.batch):
            yield self._windows(starts[first : first + self.batch])

    def epoch(self, number: int) -> Iterator[Batch]:
        if not self.training:
            yield from self
            return
        generator = self.seed.torch_generator("epoch", number)
        offset = int(torch.randint(self.length, (), generator=generator))
        order = torch.randperm(self.count, generator=generator)
        # the last window may reach beyond the end: it is moved back
        starts = (offset + order * self.length).clamp(max=len(self.stream) - 1 - self.length)
        for step in range(self.steps):
            yield self._windows(starts[step * self.batch : (step + 1) * self.batch])

    def rebatched(self, batch: int) -> WindowBatches:
        return dataclasses.replace(self, batch=batch)

    def _windows(self, starts: Tensor) -> Batch:
        tokens = self.stream[starts.unsqueeze(1) + torch.arange(self.length + 1)].long()
        return tokens[:, :-1], tokens[:, 1:]
