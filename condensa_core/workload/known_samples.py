"""By what the samples of a split are known again: all of them where that is cheap, else some from first to last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from condensa_core.workload.batches import Batch, Batches, DatasetBatches, StreamedBatches, TensorBatches
from condensa_core.workload.digest import content_digest

# What is read of a split that is not read whole anyway: 4096 images of 3 x 32 x 32, 256 of 3 x 224 x 224.
READ_BYTES: Final = 2**27
FEWEST: Final = 256  # samples, whatever their size
MOST: Final = 4096  # samples that nobody reads anyway: each may be decoded and augmented, for milliseconds


@dataclass(frozen=True)
class KnownSamples:
    """What a split is known by.

    `digest` is of the samples that `how` tells, such as `all 60000 samples`; of none where `restless`, for such a split
    gives other samples each time it is read. `inputs` are hashes of the inputs that were read, empty for samples in
    memory; `largest` is the largest number among classes and tokens that were.
    """

    digest: str
    how: str
    largest: int
    inputs: tuple[bytes, ...] = ()
    restless: bool = False


def known_samples(part: Batches, first: Batch, *, whole: bool) -> KnownSamples:
    """What `part`, whose first batch was read as `first`, is known by.

    Samples in memory are all hashed. Others are all read where `whole`, or where they are at most MOST and take at most
    READ_BYTES; else as many as that, and FEWEST at least: from the first to the last of what can be had one by one, the
    first of any other stream. How many depends on the data alone and never on time: another process gives the same
    digest.
    """
    if isinstance(part, TensorBatches):
        content = content_digest([("inputs", part.inputs), ("targets", part.targets)])
        return KnownSamples(content, f"all {part.count} samples", _largest(part.inputs, part.targets))
    restless = _digest(first) != _digest(next(iter(part)))
    how, reading = _reading(part, max(FEWEST, min(MOST, READ_BYTES // max(1, first[0][0].nbytes))), whole)
    digest, inputs, largest = hashlib.sha256(f"{part.count};{_kind(first)};".encode()), list[bytes](), -1
    for values, targets in reading:
        read = list(row_hashes(values))
        if not restless:
            for row in (*read, *row_hashes(targets)):
                digest.update(row)
        inputs += read
        largest = max(largest, _largest(values, targets))
    how = f"the number of its {part.count} samples alone" if restless else how.format(len(inputs))
    return KnownSamples(digest.hexdigest(), how, largest, tuple(inputs), restless)


def row_hashes(rows: Tensor) -> Iterator[bytes]:
    """A hash of each row's bytes."""
    stored = rows.detach().cpu().reshape(len(rows), -1).contiguous()
    stored = stored.as_strided(stored.shape, (stored.shape[1], 1))  # of one column, torch takes any stride for this
    for row in stored.view(torch.uint8).numpy():  # bytes: numpy has no bfloat16
        yield hashlib.blake2b(row.data, digest_size=16).digest()


def _reading(part: Batches, most: int, whole: bool) -> tuple[str, Iterator[Batch]]:
    if whole or part.count <= most:
        return f"all {part.count} samples", iter(part)
    if isinstance(part, DatasetBatches) or (isinstance(part, StreamedBatches) and part.seekable):
        return f"{{}} of {part.count} samples, from the first to the last", part.spread(most)
    return f"the first {{}} of {part.count} samples", _upto(iter(part), most)


def _upto(batches: Iterator[Batch], most: int) -> Iterator[Batch]:
    for inputs, targets in batches:
        if most <= 0:
            return
        yield inputs[:most], targets[:most]
        most -= len(targets)


def _digest(batch: Batch) -> str:
    return content_digest(zip(("inputs", "targets"), batch, strict=True))


def _kind(batch: Batch) -> str:
    return " ".join(f"{tensor.dtype} {tuple(tensor.shape[1:])}" for tensor in batch)


def _largest(inputs: Tensor, targets: Tensor) -> int:
    return int(targets.max()) if inputs.is_floating_point() else max(int(inputs.max()), int(targets.max()))
