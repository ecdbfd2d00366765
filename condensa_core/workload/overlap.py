"""Samples that stand in more than one split: what a score on them tells is less than it seems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from condensa_core.errors import WorkloadError
from condensa_core.workload.batches import Batches, TensorBatches
from condensa_core.workload.known_samples import row_hashes
from condensa_core.workload.splits import Splits
from condensa_core.workload.windows import WindowBatches

_TELLING = 0.01
_VARIED = 0.5  # of the samples; where fewer are different, any two splits may hold the same inputs
# What a sample in both does, by the pair; calibration is meant to come from the training part.
_HARM = {
    ("train", "val"): "the search steers by what was learnt by heart",
    ("train", "test"): "the figures on test are too good",
    ("val", "test"): "the search steered by them, so the figures on test are too good",
    ("calib", "test"): "the figures on test are too good",
}


@dataclass(frozen=True)
class Overlap:
    """`shared` of the `count` samples of split `other` that were compared have the inputs of one in split `one`."""

    one: str
    other: str
    shared: int
    count: int

    @property
    def telling(self) -> bool:
        """Whether it is more than the doubles that large data sets tend to have."""
        return self.shared >= _TELLING * self.count

    def __str__(self) -> str:
        text = f"{self.shared} of {self.count} samples of {self.other} are also in {self.one}"
        return f"{text}: {_HARM[self.one, self.other]}"


def overlaps(splits: Splits) -> tuple[Overlap, ...]:
    """The pairs of splits that share samples, which have the same inputs to the bit, whatever their targets.

    Samples in memory are all compared; of those that the user's code makes, the ones that the split is known by.
    WorkloadError where `test` holds all that was compared of `val`, or the other way round: the same split twice.
    Inputs of few values coincide in any two splits: these must be the same samples one after the other.
    """
    parts = {"train": splits.train, "val": splits.val, "test": splits.test, "calib": splits.calib}
    hashes = {name: list(_hashes(splits, name, part)) for name, part in parts.items() if part is not None}
    found = []
    for one, other in _HARM:
        if one not in hashes or other not in hashes:
            continue
        known = set(hashes[one])
        shared = sum(digest in known for digest in hashes[other])
        if (one, other) == ("val", "test") and _one_split_twice(hashes[one], hashes[other]):
            raise WorkloadError(
                f"test holds the samples of val: all {min(len(hashes[one]), len(hashes[other]))} that were compared",
                hint="name other data as test, or none: a test that steered the search is no test",
            )
        if shared:
            found.append(Overlap(one, other, shared, len(hashes[other])))
    return tuple(found)


def _one_split_twice(one: Sequence[bytes], other: Sequence[bytes]) -> bool:
    fewer, more = sorted((one, other), key=len)
    if len(set(fewer)) < _VARIED * len(fewer):
        return list(fewer) == list(more[: len(fewer)])
    return set(fewer) <= set(more)


def _hashes(splits: Splits, name: str, part: Batches) -> Iterator[bytes]:
    """A hash of each sample's inputs, as they are stored where they are in memory."""
    if isinstance(part, TensorBatches):
        yield from row_hashes(part.inputs)
    elif isinstance(part, WindowBatches):
        for inputs, _ in part:
            yield from row_hashes(inputs)
    else:
        yield from splits.known[name].inputs
