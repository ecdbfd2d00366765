"""The order of a pass follows from the seed and its number, also where the user's data has generators of its own."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, RandomSampler, Sampler

from condensa_core.randomness import Seed
from condensa_core.workload.batches import DatasetBatches, StreamedBatches
from condensa_core.workload.known_samples import known_samples

N = 12
_OF_THE_MODULE = np.random.default_rng(0)


class Numbers(Dataset):
    def __init__(self, noise=lambda: 0.0):
        self.noise = noise

    def __len__(self):
        return N

    def __getitem__(self, i):
        return torch.tensor([i + self.noise()], dtype=torch.float32), i % 3


class Named(Numbers):
    def __getitem__(self, i):
        return torch.tensor([i + _OF_THE_MODULE.random()], dtype=torch.float32), i % 3


class Stream:
    """Batches, shuffled by a generator that only its methods know."""

    def __init__(self):
        self._random = np.random.RandomState(0)

    def __iter__(self):
        order = self._random.permutation(N)
        return ((torch.tensor(order[i : i + 4, None]).float(), torch.zeros(4).long()) for i in range(0, N, 4))


class Counting(Sampler):
    """Another order each time, by the passes that were made."""

    passes = 0

    def __len__(self):
        return N

    def __iter__(self):
        self.passes += 1
        yield from np.roll(np.arange(N), self.passes).tolist()


def seeded():
    return torch.Generator().manual_seed(0)


def enclosed():
    own = random.Random(0)
    return lambda: own.random()


SOURCES = {
    "loader": lambda: DataLoader(Numbers(), batch_size=4, shuffle=True, generator=seeded()),
    "sampler": lambda: DataLoader(Numbers(), batch_size=4, sampler=RandomSampler(range(N), generator=seeded())),
    "batch sampler": lambda: DataLoader(
        Numbers(), batch_sampler=BatchSampler(RandomSampler(range(N), generator=seeded()), 4, False)
    ),
    "distributed": lambda: DataLoader(
        Numbers(), batch_size=4, sampler=DistributedSampler(Numbers(), num_replicas=1, rank=0)
    ),
    "numpy": lambda: DataLoader(Numbers(np.random.default_rng(0).random), batch_size=4),
    "closure": lambda: DataLoader(Numbers(enclosed()), batch_size=4),
    "partial": lambda: DataLoader(Numbers(functools.partial(random.Random(0).uniform, 0, 1)), batch_size=4),
    "module": lambda: DataLoader(Named(), batch_size=4),
    "stream": Stream,
}


def batches(source):
    return StreamedBatches(source, "own", N, 4, 3, Seed(5), training=True)


def read(passed):
    return torch.cat([inputs for inputs, _ in passed]).flatten().tolist()


@pytest.mark.parametrize("kind", SOURCES)
def test_a_pass_does_not_depend_on_those_before_it(kind):
    early, late = batches(SOURCES[kind]()), batches(SOURCES[kind]())
    for number in range(3):
        read(early.epoch(number))
    next(early.epoch(9))  # one that was left

    again, anew = read(early.epoch(3)), read(late.epoch(3))

    assert again == anew == read(early.epoch(3))
    assert read(late.epoch(4)) != anew and read(iter(late)) == read(iter(early))


def test_samples_of_a_data_set_do_not_either():
    noise = np.random.default_rng(0).random
    part = DatasetBatches(Numbers(noise), "own", N, 4, Seed(5), training=True)

    first = read(part.epoch(1))
    noise()

    assert read(part.epoch(1)) == first != read(part.epoch(2))


def test_an_order_that_counts_its_passes_is_told():
    part = batches(DataLoader(Numbers(), batch_size=4, sampler=Counting()))

    assert known_samples(part, next(iter(part)), whole=True).restless


@pytest.mark.parametrize("kind", SOURCES)
def test_an_order_that_follows_from_the_seed_is_not(kind):
    part = batches(SOURCES[kind]())

    assert not known_samples(part, next(iter(part)), whole=True).restless
