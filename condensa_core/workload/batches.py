"""Samples in batches: in memory, from a map-style data set, or from the user's own loader."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.workload.augmentation import Augmentation
from condensa_core.workload.global_state import Draws, seed_draws
from condensa_core.workload.own_generators import start_pass
from condensa_core.workload.python_reference import user_code

Batch = tuple[Tensor, Tensor]


class Batches(ABC):
    """The samples of one split; iterating gives every sample once, in a fixed order, without augmentation.

    `count` is the number of samples, `batch` how many one step takes. Tensors are on the CPU. Inputs are floating point
    and targets class numbers (b, int64); or both are ids of tokens (b x t, int64), a target for each input.
    """

    count: int
    batch: int

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]: ...

    @abstractmethod
    def epoch(self, number: int) -> Iterator[Batch]:
        """Pass `number` of training: shuffled and augmented as a function of the split's seed and `number` alone.

        A last batch that is not full is dropped, unless it is the only one. A split that is not for training gives
        the same fixed pass as iteration.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Batches in one fixed pass."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Batches in one `epoch`."""

    @abstractmethod
    def rebatched(self, batch: int) -> Batches:
        """The same samples in batches of another size; WorkloadError where the user's code decides the size."""


@dataclass(frozen=True)
class Standardise:
    """Images as float32, shifted and scaled by the mean and standard deviation of each channel (1 x c x 1 x 1)."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def fitted(cls, images: Tensor) -> Standardise:
        """The figures of these n x c x h x w images; a constant channel is shifted only."""
        # In float64 and channel by channel: a float copy of all CIFAR images would cost 600 MB at once.
        moments = [torch.var_mean(images[:, c].double(), correction=0) for c in range(images.shape[1])]
        deviations = torch.stack([variance for variance, _ in moments]).sqrt()
        deviations[deviations == 0] = 1.0
        means = torch.stack([mean for _, mean in moments])
        return cls(means.float().view(1, -1, 1, 1), deviations.float().view(1, -1, 1, 1))

    def __call__(self, images: Tensor) -> Tensor:
        return (images.to(torch.float32) - self.mean).div_(self.deviation)  # not sub_: float images are the stored ones


class Indexed(Batches):
    """Samples that can be had one by one: batches of any size."""

    seed: Seed
    training: bool

    def __len__(self) -> int:
        return -(-self.count // self.batch)

    @property
    def steps(self) -> int:
        return max(1, self.count // self.batch) if self.training else len(self)


@dataclass(frozen=True, eq=False)
class TensorBatches(Indexed):
    """Samples held in memory as they were read; each batch is augmented, then prepared, when it is asked for."""

    inputs: Tensor
    targets: Tensor
    batch: int
    seed: Seed = field(default_factory=Seed)
    training: bool = False
    augmentation: Augmentation | None = None
    prepare: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise WorkloadError(
                f"{len(self.inputs)} inputs and {len(self.targets)} targets do not fit together",
                hint="give one target to each input",
            )
        if len(self.inputs) == 0:
            raise WorkloadError("a split holds no samples", hint="give at least one sample")
        if self.batch < 1:
            raise WorkloadError(f"batch must be at least 1, got {self.batch}")

    @property
    def count(self) -> int:  # type: ignore[override]  # read-only here: it follows from the tensors
        return len(self.targets)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, self.count, self.batch):
            chosen = slice(start, start + self.batch)
            yield self._prepared(self.inputs[chosen]), self.targets[chosen]

    def epoch(self, number: int) -> Iterator[Batch]:
        if not self.training:
            yield from self
            return
        generator = self.seed.torch_generator("epoch", number)
        order = torch.randperm(self.count, generator=generator)
        for step in range(self.steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            images = self.inputs[chosen]
            if self.augmentation is not None:
                images = self.augmentation(images, generator)
            yield self._prepared(images), self.targets[chosen]

    def rebatched(self, batch: int) -> TensorBatches:
        return dataclasses.replace(self, batch=batch)

    def _prepared(self, inputs: Tensor) -> Tensor:
        return inputs if self.prepare is None else self.prepare(inputs)


@dataclass(frozen=True, eq=False)
class DatasetBatches(Indexed):
    """Samples that a map-style `torch.utils.data.Dataset` makes one by one, as its `__getitem__` decides."""

    dataset: Any
    name: str
    count: int
    batch: int
    seed: Seed = field(default_factory=Seed)
    training: bool = False

    def __iter__(self) -> Iterator[Batch]:
        return self._batches(torch.arange(self.count), len(self), self.seed.child("fixed"), 0)

    def epoch(self, number: int) -> Iterator[Batch]:
        if not self.training:
            return iter(self)
        order = torch.randperm(self.count, generator=self.seed.torch_generator("epoch", number))
        return self._batches(order, self.steps, self.seed.child("epoch", number), number)

    def spread(self, most: int) -> Iterator[Batch]:
        """Up to `most` of the samples, the first, the last and others evenly between."""
        taken = min(most, self.count)
        chosen = torch.arange(taken) * (self.count - 1) // max(1, taken - 1)
        return self._batches(chosen, -(-taken // self.batch), self.seed.child("fixed"), 0)

    def rebatched(self, batch: int) -> DatasetBatches:
        return dataclasses.replace(self, batch=batch)

    def _batches(self, order: Tensor, steps: int, seed: Seed, number: int) -> Iterator[Batch]:
        def read() -> Iterator[Any]:
            start_pass(self.dataset, seed, number)
            for step in range(steps):
                chosen = order[step * self.batch : (step + 1) * self.batch].tolist()
                yield default_collate([self.dataset[i] for i in chosen])

        return _checked(_own_randomness(read, seed, self.name), self.name)


@dataclass(frozen=True, eq=False)
class StreamedBatches(Batches):
    """Batches of a size the user's code decides: a DataLoader, or anything that can be iterated again and again.

    `length` counts the batches of one pass; at most `count` samples are taken from it.
    """

    source: Iterable[Any]
    name: str
    count: int
    batch: int
    length: int
    seed: Seed = field(default_factory=Seed)
    training: bool = False

    def __len__(self) -> int:
        return self.length

    @property
    def steps(self) -> int:
        dropped = self.training and self.length > 1 and self.count < self.length * self.batch
        return self.length - dropped

    def __iter__(self) -> Iterator[Batch]:
        return self._batches(self.length, self.seed.child("fixed"), 0)

    def epoch(self, number: int) -> Iterator[Batch]:
        if not self.training:
            return iter(self)
        return self._batches(self.steps, self.seed.child("epoch", number), number)

    @property
    def seekable(self) -> bool:
        """Whether any of its batches can be had without those before it: those of a DataLoader of single samples."""
        source = self.source
        return (
            isinstance(source, DataLoader)
            and source.batch_sampler is not None
            and not isinstance(source.dataset, IterableDataset)
        )

    def spread(self, most: int) -> Iterator[Batch]:
        """Up to `most` samples, at least one batch: the first batch, the last and others evenly between.

        Only where it is `seekable`. The same batches each time; where the loader shuffles, not those of the fixed pass.
        What the loader leaves to workers is read by one, never in this process: data sets open their files where they
        are first asked, and workers would share what this process has opened.
        """
        source: Any = self.source
        assert self.seekable

        seed = self.seed.child("fixed")

        def read() -> Iterator[Any]:
            start_pass(source, seed, 0)
            batches = list(source.batch_sampler)[: self.length]
            taken = max(1, min(most // self.batch, len(batches)))
            numbers = (torch.arange(taken) * (len(batches) - 1) // max(1, taken - 1)).tolist()
            yield from DataLoader(
                source.dataset,
                batch_sampler=[batches[number][: self.count - number * self.batch] for number in numbers],
                collate_fn=source.collate_fn,
                num_workers=min(1, source.num_workers),
                worker_init_fn=source.worker_init_fn,
                multiprocessing_context=source.multiprocessing_context,
                timeout=source.timeout,
            )

        return _checked(_own_randomness(read, seed, self.name), self.name)

    def rebatched(self, batch: int) -> StreamedBatches:
        if batch == self.batch:
            return self
        raise WorkloadError(
            f"{self.name} gives batches of {self.batch}, so a batch of {batch} cannot be had",
            hint="return tensors or a Dataset, or change the batch in your code",
        )

    def _batches(self, steps: int, seed: Seed, number: int) -> Iterator[Batch]:
        def read() -> Iterator[Any]:
            start_pass(self.source, seed, number)
            return iter(self.source)

        left = self.count
        stream = _checked(_own_randomness(read, seed, self.name), self.name)
        for _, (inputs, targets) in zip(range(steps), stream, strict=False):
            yield inputs[:left], targets[:left]
            left -= len(targets)


def checked_batch(batch: Any, name: str) -> Batch:
    """`batch` as (inputs, targets): images and the like with a class number each, or token ids with one for each token.

    WorkloadError says what it is instead. Ids and class numbers come as int64.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        length = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
        raise WorkloadError(f"{name} gives a {type(batch).__name__}{length} where (inputs, targets) is expected")
    inputs, targets = (_tensor(part, name) for part in batch)
    if inputs.dim() == targets.dim() == 2 and _counts(inputs) and _counts(targets):
        if inputs.shape != targets.shape:
            raise WorkloadError(
                f"{name} gives tokens {tuple(inputs.shape)} with targets {tuple(targets.shape)}",
                hint="give one target to each input",
            )
        if inputs.numel() and min(int(inputs.min()), int(targets.min())) < 0:
            raise WorkloadError(f"{name} gives negative token ids", hint="every target is predicted: leave padding out")
        return inputs.long(), targets.long()
    if not inputs.is_floating_point():
        raise WorkloadError(
            f"{name} gives inputs of {inputs.dtype}", hint="images must be floating point: divide by 255 first"
        )
    if targets.dim() != 1 or not _counts(targets):
        raise WorkloadError(
            f"{name} gives targets of {targets.dtype} with shape {tuple(targets.shape)}",
            hint="classification needs one class number (an integer) per sample",
        )
    if targets.numel() and int(targets.min()) < 0:
        raise WorkloadError(
            f"{name} gives the class number {int(targets.min())}",
            hint="classes count from 0, and every sample is judged: leave out those without a class",
        )
    if not bool(inputs.isfinite().all()):
        raise WorkloadError(f"{name} gives inputs that are not finite", hint="NaN or infinity: look at how it prepares")
    if inputs.dim() < 1 or len(inputs) != len(targets):
        raise WorkloadError(
            f"{name} gives inputs {tuple(inputs.shape)} with targets {tuple(targets.shape)}",
            hint="give one target to each input",
        )
    return inputs, targets.long()


def _counts(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() and tensor.dtype != torch.bool


def _tensor(part: Any, name: str) -> Tensor:
    if isinstance(part, np.ndarray):
        return torch.from_numpy(part)
    if not isinstance(part, Tensor):
        raise WorkloadError(f"{name} gives a {type(part).__name__} where a tensor is expected")
    return part


def _checked(stream: Iterator[Any], name: str) -> Iterator[Batch]:
    first: Tensor | None = None
    for batch in stream:
        inputs, targets = checked_batch(batch, name)
        first = inputs if first is None else first
        if (inputs.dtype, inputs.shape[1:]) != (first.dtype, first.shape[1:]):
            found, begun = (f"{part.dtype} {tuple(part.shape[1:])}" for part in (inputs, first))
            raise WorkloadError(
                f"{name} gives inputs of {found} after inputs of {begun}", hint="prepare all of its samples alike"
            )
        yield inputs, targets


_T = TypeVar("_T")


def _own_randomness(start: Callable[[], Iterator[_T]], seed: Seed, name: str) -> Iterator[_T]:
    """The items of a user's iterator, which draws from the global generators of torch, numpy and Python as if they were
    seeded with `seed`.

    The caller's generators are given back after every item, so data and model cannot disturb each other's draws.
    """
    with user_code(name):
        seed_draws(seed.root)
        stream = start()
        draws = Draws.now()
    while True:
        with user_code(name):
            draws.put_back()
            try:
                item = next(stream)
            except StopIteration:
                return
            draws = Draws.now()
        yield item
