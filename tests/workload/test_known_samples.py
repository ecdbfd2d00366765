"""Data is known again by its samples: another sample is other data, and another reading of the same is the same."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from condensa_core.randomness import Seed
from condensa_core.recipe.records import DataSpec, SourceSpec
from condensa_core.workload import known_samples, load_splits
from condensa_core.workload.batches import DatasetBatches, StreamedBatches

N = 64
KINDS = ["data set", "loader", "shuffled", "stream"]


class Pairs(Dataset):
    """N samples of one number, which is the sample's own."""

    def __init__(self, *, changed=(), targets=(), count=N, draw=lambda: 0.0):
        self.values = torch.arange(float(count))
        self.values[list(changed)] += 0.5
        self.targets = torch.arange(count) % 3
        self.targets[list(targets)] = 3
        self.draw = draw

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        return self.values[i : i + 1] + self.draw(), int(self.targets[i])


class Stream:
    """Batches of four, one after another."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __iter__(self):
        return iter(DataLoader(self.pairs, batch_size=4))


def part(kind, pairs, seed=0):
    if kind == "data set":
        return DatasetBatches(pairs, "own", len(pairs), 4, Seed(seed))
    source = Stream(pairs) if kind == "stream" else DataLoader(pairs, batch_size=4, shuffle=kind == "shuffled")
    return StreamedBatches(source, "own", len(pairs), 4, len(pairs) // 4, Seed(seed))


def known(kind, *, whole=False, **planted):
    made = part(kind, Pairs(**planted))
    return known_samples.known_samples(made, next(iter(made)), whole=whole)


@pytest.fixture
def large(monkeypatch):
    """Too large to be read as a whole: 16 of the 64 samples are, where nobody reads them anyway."""
    monkeypatch.setattr(known_samples, "READ_BYTES", 64)
    monkeypatch.setattr(known_samples, "FEWEST", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_of_small_data_every_sample_and_every_target_counts(kind):
    before = known(kind)

    assert (before.how, len(set(before.inputs)), before.largest) == ("all 64 samples", 64, 2)
    assert known(kind).digest == before.digest
    assert known(kind, count=60).digest != before.digest
    for i in (0, 5, 31, 62, 63):
        assert known(kind, changed=[i]).digest != before.digest
        assert known(kind, targets=[i]).digest != before.digest


def test_many_small_samples_are_not_all_read(monkeypatch):
    monkeypatch.setattr(known_samples, "MOST", 16)
    monkeypatch.setattr(known_samples, "FEWEST", 1)

    assert known("data set").how == "16 of 64 samples, from the first to the last"


@pytest.mark.parametrize("kind", KINDS)
def test_large_data_that_is_read_for_its_classes_is_known_whole(kind, large):
    assert known(kind, whole=True, changed=[37]).digest != known(kind, whole=True).digest


@pytest.mark.parametrize(
    ("kind", "noticed", "missed"),
    [("data set", [0, 21, 63], 1), ("loader", [0, 3, 23, 60, 63], 4), ("stream", [0, 15], 16)],
)
def test_of_large_data_samples_are_read_from_the_first_to_the_last(kind, noticed, missed, large):
    before = known(kind)

    assert len(before.inputs) == 16
    where = "the first 16 of 64 samples" if kind == "stream" else "16 of 64 samples, from the first to the last"
    assert before.how == where
    for i in noticed:
        assert known(kind, changed=[i]).digest != before.digest
    assert known(kind, changed=[missed]).digest == before.digest  # the bound on the cost


def test_batches_of_a_loader_are_had_without_those_between():
    made = part("loader", Pairs())
    limited = dataclasses.replace(made, count=61)

    shown = torch.cat([inputs for inputs, _ in made.spread(16)]).flatten().tolist()

    assert shown == [*range(4), *range(20, 24), *range(40, 44), *range(60, 64)]
    assert [len(targets) for _, targets in limited.spread(16)] == [4, 4, 4, 1]


class OpenedByWorkers(Pairs):
    """Samples that only a worker can read, once it has opened them."""

    opened = False

    def __getitem__(self, i):
        assert self.opened and get_worker_info() is not None
        return super().__getitem__(i)


def open_in_worker(number):
    get_worker_info().dataset.opened = True


def test_what_a_loader_leaves_to_workers_is_never_read_here(large):
    loader = DataLoader(OpenedByWorkers(), batch_size=4, num_workers=1, worker_init_fn=open_in_worker)
    made = StreamedBatches(loader, "own", 64, 4, 16, Seed(0))

    found = known_samples.known_samples(made, next(iter(made)), whole=False)

    assert found.digest == known("loader").digest


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("drawn", [lambda: torch.rand(1), random.random, np.random.random])
def test_what_is_drawn_from_global_generators_is_the_same_in_every_process(kind, some, drawn, request):
    if some:
        request.getfixturevalue("large")

    before = known(kind, draw=drawn)
    drawn()

    assert not before.restless
    assert known(kind, draw=drawn).digest == before.digest
    assert some or known(kind, draw=drawn, changed=[63]).digest != before.digest


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drawn", [random.SystemRandom().random, lambda: np.random.default_rng().random()])
def test_what_is_drawn_elsewhere_is_not_taken_for_other_data(kind, drawn):
    before = known(kind, draw=drawn)

    assert before.restless and before.how == "the number of its 64 samples alone"
    assert known(kind, draw=drawn).digest == before.digest
    assert known(kind, draw=drawn, count=60).digest != before.digest


OWN = """
import numpy as np
import torch

def steady(first=0.0):
    return [(torch.full((4, 1), first if i else 0.0), torch.zeros(4).long()) for i in range(3)]

class Drawn:
    def __iter__(self):
        return iter([(torch.tensor(np.random.default_rng().random((4, 1), "float32")), torch.zeros(4).long())])
"""


def splits_of(folder: Path, train: str, text: str = OWN, **args):
    (folder / "own.py").write_text(text)
    spec = DataSpec(train=SourceSpec(python=f"own.py:{train}", args=args), val=SourceSpec(python="own.py:steady"))
    return load_splits(spec, seed=Seed(0), directory=folder)


def test_loaders_with_the_same_first_batch_are_told_apart(tmp_path):
    before = splits_of(tmp_path, "steady")

    assert splits_of(tmp_path, "steady", first=1.0).fingerprint != before.fingerprint
    assert before.known_by == {"train": "all 12 samples", "val": "all 12 samples"}


def test_what_is_never_the_same_is_known_by_its_code(tmp_path):
    before = splits_of(tmp_path, "Drawn")

    assert splits_of(tmp_path, "Drawn").fingerprint == before.fingerprint
    assert splits_of(tmp_path, "Drawn", OWN + "\n# changed\n").fingerprint != before.fingerprint
    assert before.known_by["train"] == "the number of its 4 samples alone"


def test_data_of_the_library_is_known_whole(tmp_path):
    splits = load_splits(DataSpec(builtin="digits"), seed=Seed(0), directory=tmp_path)

    assert splits.known_by["val"] == f"all {splits.val.count} samples"
