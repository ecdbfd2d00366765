"""The user's own samples: every kind that is taken, every kind that is refused, and whose randomness is whose."""

from pathlib import Path

import pytest
import torch

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.recipe import DataSpec
from condensa_core.workload import load_splits

CODE = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

N = 11

def tensors(n=N):
    return torch.arange(n).float().view(n, 1), torch.arange(n) % 3

def arrays():
    return tuple(t.numpy() for t in tensors())

def tensor_dataset():
    return TensorDataset(*tensors())

class Squares(Dataset):
    classes = ["a", "b", "c", "never seen"]
    def __len__(self): return N
    def __getitem__(self, i): return tensors()[0][i], int(tensors()[1][i])

class Noisy(Squares):
    def __getitem__(self, i): return torch.rand(1), i % 3

def loader(shuffle=False, drop_last=False):
    return DataLoader(Squares(), batch_size=4, shuffle=shuffle, drop_last=drop_last)

def noisy_loader():
    return DataLoader(Noisy(), batch_size=4, shuffle=True)

class Stream(IterableDataset):
    def __iter__(self): return iter(zip(*tensors()))

def stream_loader():
    return DataLoader(Stream(), batch_size=4)

batches = [(x, y) for x, y in zip(tensors()[0].split(4), tensors()[1].split(4))]

def once():
    yield from batches

def fails(): raise KeyError("lost")

class FailsLater(Squares):
    def __getitem__(self, i):
        raise OSError("disk gone")

def image_bytes(): return torch.zeros(3, 1, dtype=torch.uint8), torch.zeros(3).long()
def one_hot(): return torch.zeros(3, 1), torch.zeros(3, 2)
def uneven(): return torch.zeros(3, 1), torch.zeros(2).long()
def three(): return [(torch.zeros(3, 1), torch.zeros(3).long(), 1)]
def text(): return "data"
def lists(): return [([1.0], [0])]
def empty(): return []
def negative(): return torch.zeros(3, 1), torch.tensor([0, -1, 1])
def negative_batches(): return [(torch.zeros(3, 1), torch.tensor([0, 1, y])) for y in (1, -100)]
def double(): return torch.zeros(5, 1).double(), torch.zeros(5).long()
def uneven_batches(): return [(torch.zeros(5, 1).to(t), torch.zeros(5).long()) for t in (torch.float, torch.double)]
def none_at_all(): return torch.zeros(0, 1), torch.zeros(0).long()
def wide(): return torch.zeros(5, 2), torch.zeros(5).long()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data.py").write_text(CODE)
    return tmp_path


def splits_of(folder: Path, train: str, val: str = "tensors", *, seed: int = 0, **source):
    spec = DataSpec.model_validate(
        {"train": {"python": f"data.py:{train}", **source}, "val": {"python": f"data.py:{val}"}}
    )
    return load_splits(spec, seed=Seed(seed), directory=folder)


KINDS = ["tensors", "arrays", "tensor_dataset", "Squares", "loader", "stream_loader", "batches"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_samples(folder, kind):
    splits = splits_of(folder, kind)

    fixed = list(splits.train)

    assert torch.cat([inputs for inputs, _ in fixed]).flatten().tolist() == list(range(11))
    assert torch.cat([targets for _, targets in fixed]).tolist() == [i % 3 for i in range(11)]
    assert splits.train.count == 11
    assert len(splits.train) == len(fixed)
    assert splits.classes == (4 if kind in ("Squares", "loader") else 3)
    assert splits.input_shape == (1,)


@pytest.mark.parametrize("kind", KINDS)
def test_training_passes_have_only_full_batches(folder, kind):
    train = splits_of(folder, kind).train
    train = train if train.batch == 4 else train.rebatched(4)

    sizes = [len(targets) for _, targets in train.epoch(0)]

    assert sizes == [4, 4]
    assert train.steps == 2


@pytest.mark.parametrize("kind", KINDS)
def test_limit_takes_the_first_samples(folder, kind):
    train = splits_of(folder, kind, limit=6).train

    assert train.count == 6
    assert torch.cat([inputs for inputs, _ in train]).flatten().tolist() == list(range(6))


def test_loaders_that_drop_count_what_they_give(folder):
    train = splits_of(folder, "loader", args={"drop_last": True}).train

    assert (train.count, len(train), train.steps) == (8, 2, 2)


@pytest.mark.parametrize("kind", ["Noisy", "noisy_loader"])
def test_the_users_draws_depend_on_seed_and_epoch_alone(folder, kind):
    def drawn(seed: int, number: int) -> list[float]:
        train = splits_of(folder, kind, seed=seed).train
        return torch.cat([inputs for inputs, _ in train.epoch(number)]).flatten().tolist()

    torch.manual_seed(1)
    first = drawn(0, 1)
    torch.manual_seed(2)

    assert drawn(0, 1) == first
    assert drawn(0, 2) != first
    assert drawn(5, 1) != first


@pytest.mark.parametrize("kind", ["Noisy", "noisy_loader"])
def test_the_users_draws_leave_the_global_generator_alone(folder, kind):
    train = splits_of(folder, kind).train
    torch.manual_seed(7)
    expected = torch.rand(3)

    torch.manual_seed(7)
    passes = train.epoch(0)
    next(passes)
    found = torch.rand(3)

    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("once", "is a generator, which can be read only once; return a list"),
        ("fails", r"data.py:fails failed at data.py:\d+: KeyError: 'lost'"),
        ("FailsLater", r"failed at data.py:\d+: OSError: disk gone"),
        ("image_bytes", "inputs of torch.uint8; images must be floating point: divide by 255"),
        ("one_hot", "targets of torch.float32 with shape .3, 2.; classification needs one class number"),
        ("uneven", r"inputs \(3, 1\) with targets \(2,\)"),
        ("three", r"gives a tuple of 3 where \(inputs, targets\) is expected"),
        ("text", "is a str; expected"),
        ("lists", "gives a list where a tensor is expected"),
        ("empty", "gives no batches"),
        ("negative", r"data.train \(data.py:negative\) gives the class number -1; classes count from 0"),
        ("negative_batches", "data.train .data.py:negative_batches. gives the class number -100"),
        ("double", "data.val gives inputs of torch.float32, data.train of torch.float64"),
        ("uneven_batches", r"data.train .* gives inputs of torch.float64 \(1,\) after inputs of torch.float32 \(1,\)"),
        ("none_at_all", "data.train .data.py:none_at_all. holds no samples"),
        ("wide", r"data.val gives inputs of shape \(1,\), data.train of \(2,\)"),
        ("loder", "did you mean 'loader'"),
    ],
)
def test_refusals_name_the_part_and_what_it_gave(folder, kind, message):
    with pytest.raises(WorkloadError, match=message):
        splits_of(folder, kind)


@pytest.mark.parametrize("kind", ["negative", "uneven_batches", "none_at_all", "double", "fails"])
def test_refusals_lead_to_the_part(folder, kind):
    with pytest.raises(WorkloadError) as refused:
        splits_of(folder, "tensors", val=kind)

    assert refused.value.key_path == ("data", "val")


def test_a_class_that_the_model_does_not_know_is_of_a_part(folder):
    splits = splits_of(folder, "tensors")

    splits.check_classes(3)
    with pytest.raises(WorkloadError, match=r"data.train holds class 2, the model knows 2 classes, 0 to 1") as refused:
        splits.check_classes(2)
    assert refused.value.key_path == ("data", "train")


def test_batch_of_a_loader_is_its_own_business(folder):
    assert splits_of(folder, "loader", batch=4).train.batch == 4
    with pytest.raises(WorkloadError, match="gives batches of 4, so a batch of 8 cannot be had"):
        splits_of(folder, "loader", batch=8)


def test_python_can_be_refused(folder):
    spec = DataSpec.model_validate({"train": {"python": "data.py:tensors"}, "val": {"python": "data.py:tensors"}})

    with pytest.raises(WorkloadError, match="--no-python"):
        load_splits(spec, seed=Seed(0), directory=folder, allow_python=False)


@pytest.mark.parametrize("kind", ["tensors", "Squares", "loader"])
def test_fingerprint_follows_the_samples(folder, kind):
    first = splits_of(folder, kind).fingerprint

    assert splits_of(folder, kind).fingerprint == first
    assert splits_of(folder, kind, limit=6).fingerprint != first
