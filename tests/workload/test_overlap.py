"""Samples in two splits are found, counted and told; a test that is the val is refused."""

from pathlib import Path

import pytest
import torch

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.recipe.records import DataSpec, SourceSpec
from condensa_core.workload import load_splits, overlaps
from condensa_core.workload.known_samples import row_hashes

OWN = """
import torch
from torch.utils.data import Dataset

drawn = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
targets = torch.arange(40) % 3


class Made(Dataset):
    def __init__(self, first, last):
        self.first, self.last = first, last

    def __len__(self):
        return self.last - self.first

    def __getitem__(self, i):
        return drawn[self.first + i], int(targets[self.first + i])


def kept(first, last):
    return drawn[first:last], targets[first:last]


def relabelled(first, last):
    return drawn[first:last], (targets[first:last] + 1) % 3


def streamed(first, last):
    return [(drawn[i : i + 4], targets[i : i + 4]) for i in range(first, last, 4)]
"""


def splits_of(folder: Path, given: dict[str, tuple[int, int]], **kinds: str):
    (folder / "own.py").write_text(OWN)
    sources = {
        name: SourceSpec(python=f"own.py:{kinds.get(name, 'kept')}", args={"first": first, "last": last})
        for name, (first, last) in given.items()
    }
    return load_splits(DataSpec(**sources), seed=Seed(0), directory=folder)


def test_splits_apart_have_nothing_in_common(tmp_path):
    assert overlaps(splits_of(tmp_path, {"train": (0, 20), "val": (20, 30), "test": (30, 40)})) == ()
    assert overlaps(load_splits(DataSpec(builtin="digits"), seed=Seed(0), directory=tmp_path)) == ()


@pytest.mark.parametrize("kind", ["kept", "Made", "streamed", "relabelled"])
def test_planted_samples_are_counted_whatever_makes_them(tmp_path, kind):
    given = {"train": (0, 24), "val": (20, 32), "test": (28, 40), "calib": (36, 40)}

    found = overlaps(splits_of(tmp_path, given, val=kind))

    told = {(o.one, o.other): (o.shared, o.count) for o in found}
    assert told == {("train", "val"): (4, 12), ("val", "test"): (4, 12), ("calib", "test"): (4, 12)}
    assert all(o.telling for o in found)
    assert str(found[0]).startswith("4 of 12 samples of val are also in train: ")


def test_a_double_in_a_large_split_tells_little(tmp_path):
    splits = splits_of(tmp_path, {"train": (0, 10), "val": (10, 40)})
    object.__setattr__(splits.val, "inputs", torch.cat([torch.randn(300, 5), splits.train.inputs[:1]]))
    object.__setattr__(splits.val, "targets", torch.zeros(301, dtype=torch.int64))

    (found,) = overlaps(splits)

    assert (found.shared, found.count, found.telling) == (1, 301, False)


@pytest.mark.parametrize("test", [(20, 30), (22, 28), (16, 34)], ids=["the same", "a part", "all and more"])
def test_a_test_that_is_the_val_is_refused(tmp_path, test):
    splits = splits_of(tmp_path, {"train": (0, 8), "val": (20, 30), "test": test}, test="Made")

    with pytest.raises(WorkloadError, match="test holds the samples of val") as refusal:
        overlaps(splits)

    assert "none" in refusal.value.hint


@pytest.mark.parametrize("refused", [False, True], ids=["drawn apart", "named twice"])
def test_inputs_of_few_values_may_coincide_but_not_in_their_order(tmp_path, refused):
    splits = splits_of(tmp_path, {"train": (0, 10), "val": (10, 25), "test": (25, 40)})
    draw = torch.Generator().manual_seed(3)
    for part in (splits.val, splits.test):
        object.__setattr__(part, "inputs", torch.randint(2, (300, 4), generator=draw).float())
    if refused:
        object.__setattr__(splits.test, "inputs", splits.val.inputs[:200])

    if refused:
        with pytest.raises(WorkloadError, match="all 200 that were compared"):
            overlaps(splits)
    else:
        (found,) = overlaps(splits)
        assert (found.one, found.other, found.shared) == ("val", "test", 300)


def test_samples_of_any_type_are_hashed():
    rows = torch.zeros(3, 2)
    rows[1] = 1
    for kind in (torch.bfloat16, torch.float16, torch.int64, torch.uint8):
        assert len(set(row_hashes(rows.to(kind)))) == 2
    assert len(set(row_hashes(torch.arange(4)))) == 4
