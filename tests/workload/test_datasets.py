"""Built-in data, read from small files in the real formats that the tests write themselves."""

import gzip
import http.server
import struct
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from condensa_core.errors import MachineError, WorkloadError
from condensa_core.randomness import Seed
from condensa_core.recipe import DataSpec
from condensa_core.recipe.vocabulary import BUILTIN_DATA, OF_ALL_DATA
from condensa_core.workload import known_shape, load_splits
from condensa_core.workload.datasets import DATASETS, data_options, dataset_named, fashion_mnist
from condensa_core.workload.datasets.idx import read_idx

RANDOM = np.random.default_rng(0)
FASHION = {"train": 60, "t10k": 20}


def splits_of(builtin: str, directory: Path = Path(), *, seed: int = 0, **options):
    """Splits by the data room's own options, some of which a recipe does not offer."""
    spec = SimpleNamespace(builtin=builtin, options=options)
    return load_splits(spec, seed=Seed(seed), directory=directory)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape) + array.tobytes()


def images_and_labels(n: int, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Random images whose first pixels spell their number, so that every sample can be recognised."""
    images = RANDOM.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = np.arange(n) % 256
    return images, (np.arange(n) % classes).astype(np.uint8)


@pytest.fixture
def fashion_folder(tmp_path):
    for prefix, n in FASHION.items():
        images, labels = images_and_labels(n)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def samples(batches) -> set[bytes]:
    return {image.numpy().tobytes() for inputs, _ in batches for image in inputs}


@pytest.mark.parametrize("seed", [0, 1])
def test_train_val_and_test_share_no_sample(fashion_folder, seed):
    splits = splits_of("fashion-mnist", fashion_folder, seed=seed, path=".")

    parts = [samples(part) for part in (splits.train, splits.val, splits.test)]

    assert [len(part) for part in parts] == [54, 6, 20]  # all different, a tenth cut for val
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_seed_moves_val_and_never_test(fashion_folder):
    first, again, other = (splits_of("fashion-mnist", fashion_folder, seed=s, path=".") for s in (0, 0, 1))

    def raw(batches):
        return batches.inputs

    assert torch.equal(raw(first.val), raw(again.val))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert not torch.equal(raw(first.val), raw(other.val))
    assert torch.equal(raw(first.test), raw(other.test))


def test_digits_test_part_is_the_same_for_every_seed_and_classes_are_balanced():
    first, other = (splits_of("digits", seed=seed) for seed in (0, 1))

    assert [first.train.count, first.val.count, first.test.count] == [1078, 359, 360]
    assert torch.equal(first.test.inputs, other.test.inputs)
    assert not torch.equal(first.val.inputs, other.val.inputs)
    counts = torch.bincount(first.test.targets)
    assert counts.min() >= 34 and counts.max() <= 37  # 1,797 holds 174..183 of each digit
    both = torch.cat([part.inputs.flatten(1) for part in (first.train, first.val, first.test)])
    from sklearn.datasets import load_digits

    whole = torch.from_numpy(load_digits().data).float() / 16
    assert torch.equal(both.sum(0), whole.sum(0))  # sixteenths add exactly: nothing lost, nothing twice


def test_recipe_record_loads_the_same_digits():
    spec = DataSpec(builtin="digits", batch=64, limit=100)

    splits = load_splits(spec, seed=Seed(0), directory=Path())

    assert (splits.classes, splits.input_shape) == (10, (1, 8, 8))
    assert [splits.train.count, splits.val.count, splits.test.count, splits.train.batch] == [100, 100, 100, 64]
    assert torch.equal(splits.val.inputs, splits_of("digits").val.inputs[:100])


def test_preparation_is_the_training_part_standardised(fashion_folder):
    splits = splits_of("fashion-mnist", fashion_folder, path=".")

    train = torch.cat([inputs for inputs, _ in splits.train])

    assert train.dtype == torch.float32
    torch.testing.assert_close(train.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std(correction=0), torch.tensor(1.0), atol=1e-5, rtol=0)
    again = torch.cat([inputs for inputs, _ in splits.train])
    assert torch.equal(train, again)


def test_unpacked_idx_files_are_read_too(fashion_folder):
    packed = splits_of("fashion-mnist", fashion_folder, path=".").fingerprint
    for file in list(fashion_folder.glob("*.gz")):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()

    assert splits_of("fashion-mnist", fashion_folder, path=".").fingerprint == packed


def test_idx_arrays_come_back_as_written(tmp_path):
    written = RANDOM.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    (tmp_path / "a").write_bytes(idx(written))

    assert np.array_equal(read_idx(tmp_path / "a"), written)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a", b"\0\0\x09\1\0\0\0\0", "not an IDX file"),
        ("a", b"", "not an IDX file"),
        ("a", idx(np.zeros((2, 2), np.uint8))[:-1], r"cut short or too long: its header announces \(2, 2\)"),
        ("a", b"\0\0\x08\3\0\0\0\2", "cut short"),
        ("a.gz", gzip.compress(idx(np.zeros(9, np.uint8)), mtime=0)[:-12], "cannot be read"),
        ("a.gz", b"plain", "cannot be read"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(WorkloadError, match=message):
        read_idx(tmp_path / name)


def test_missing_fashion_mnist_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    with pytest.raises(WorkloadError, match=r"apt-get install dataset-fashion-mnist.*path:.*download: true"):
        splits_of("fashion-mnist")
    with pytest.raises(WorkloadError, match=r"has no train-images-idx3-ubyte.gz"):
        splits_of("fashion-mnist", tmp_path, path=".")


@contextmanager
def served(folder: Path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_download_keeps_only_files_with_the_right_checksum(fashion_folder, tmp_path, monkeypatch):
    content = {name: gzip.decompress((fashion_folder / name).read_bytes()) for name in fashion_mnist.FILES}
    digests = {name: __import__("hashlib").sha256(data).hexdigest() for name, data in content.items()}
    monkeypatch.setattr(fashion_mnist, "FILES", digests)
    last = list(digests)[-1]

    with served(fashion_folder) as source:
        fashion_mnist.download(tmp_path / "good", source)
        (fashion_folder / last).write_bytes(gzip.compress(content[last] + b"x"))
        with pytest.raises(WorkloadError, match="has sha256"):
            fashion_mnist.download(tmp_path / "bad", source)
        (fashion_folder / last).unlink()
        with pytest.raises(MachineError, match="could not be downloaded"):
            fashion_mnist.download(tmp_path / "gone", source)

    assert sorted(file.name for file in (tmp_path / "good").iterdir()) == sorted(digests)
    assert last not in {file.name for file in (tmp_path / "bad").iterdir()}


def cifar_records(n: int, label_bytes: int, classes: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    images = RANDOM.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    labels = np.stack([np.arange(n) % 20, np.arange(n) % classes], 1).astype(np.uint8)[:, 2 - label_bytes :]
    return (
        b"".join(label.tobytes() + image.tobytes() for label, image in zip(labels, images, strict=True)),
        images,
        labels,
    )


@pytest.mark.parametrize("inner", [".", "cifar-10-batches-bin"])
def test_cifar10_binary_version(tmp_path, inner):
    (tmp_path / inner).mkdir(exist_ok=True)
    parts = [cifar_records(20, 1, 10) for _ in range(6)]
    for name, (content, _, _) in zip([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], parts, strict=True):
        (tmp_path / inner / f"{name}.bin").write_bytes(content)

    splits = splits_of("cifar10", tmp_path, path=".")

    assert (splits.classes, splits.input_shape) == (10, (3, 32, 32))
    assert [splits.train.count, splits.val.count, splits.test.count] == [90, 10, 20]
    assert np.array_equal(splits.test.inputs.numpy(), parts[5][1])
    assert splits.test.targets.tolist() == parts[5][2][:, -1].tolist()
    joined = {image.tobytes() for part in parts[:5] for image in part[1]}
    assert {image.numpy().tobytes() for part in (splits.train, splits.val) for image in part.inputs} == joined


def test_cifar100_takes_the_fine_label(tmp_path):
    train, test = cifar_records(200, 2, 100), cifar_records(100, 2, 100)
    (tmp_path / "train.bin").write_bytes(train[0])
    (tmp_path / "test.bin").write_bytes(test[0])

    splits = splits_of("cifar100", tmp_path, path=".")

    assert splits.classes == 100
    assert splits.test.targets.tolist() == list(range(100))
    assert np.array_equal(splits.test.inputs.numpy(), test[1])


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist", "image-folder"])
def test_home_is_where_the_tilde_says(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "PIL.Image", ModuleType("PIL.Image"))  # so far no image is decoded
    (tmp_path / "home" / "images").mkdir(parents=True)

    with pytest.raises(WorkloadError) as caught:  # an empty folder: the message says where it looked
        splits_of(name, tmp_path / "elsewhere", path="~/images")

    assert str(tmp_path / "home" / "images") in caught.value.message
    with pytest.raises(WorkloadError, match="home folder that is not known"):
        splits_of(name, tmp_path, path="~no-such-user/images")


def test_cifar_refusals(tmp_path):
    with pytest.raises(WorkloadError, match=r"cifar10 needs a path; download cifar-10-binary.tar.gz from https"):
        splits_of("cifar10")
    with pytest.raises(WorkloadError, match="there is no folder"):
        splits_of("cifar10", tmp_path, path="missing")
    with pytest.raises(WorkloadError, match=r"train.bin cannot be read: No such file"):
        splits_of("cifar100", tmp_path, path=".")
    (tmp_path / "train.bin").write_bytes(b"\0" * 3075)
    with pytest.raises(WorkloadError, match="3075 bytes, which is not a whole number of 3074-byte records"):
        splits_of("cifar100", tmp_path, path=".")
    (tmp_path / "train.bin").write_bytes(b"\0\x64" + b"\0" * 3072)
    with pytest.raises(WorkloadError, match="holds class 100, but there are only 100"):
        splits_of("cifar100", tmp_path, path=".")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": 3}, "data set 'digits' has no option 'limits'; did you mean 'limit'"),
        ({"path": "x"}, "has no option 'path'"),
        ({"limit": 0}, "limit must be a count of at least 1, got 0"),
        ({"batch": True}, "batch must be a count"),
        ({"val_fraction": 1.0}, "val_fraction must be a number between 0 and 1"),
        ({"val_fraction": 0.1, "val_count": 3}, "both val_fraction and val_count"),
        ({"augment": 3}, "augment must be text"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(WorkloadError, match=message):
        data_options("digits", options, dataset_named("digits").takes)


def test_settings_of_all_data_are_taken_by_all():
    given = {"batch": 2, "limit": 3}

    assert set(given) == set(OF_ALL_DATA)
    for name, source in DATASETS.items():
        assert data_options(name, given, source.takes).limit == 3


def test_val_can_be_sized():
    assert splits_of("digits", val_count=100).val.count == 100
    assert splits_of("digits", val_fraction=0.5).val.count == 718  # of 1,437, half to even
    with pytest.raises(WorkloadError, match="1437 of 1437"):
        splits_of("digits", val_count=1437)


def test_names_and_shapes_known_without_files():
    assert {source.name: set(source.takes) for source in DATASETS.values()} == {
        name: set(settings) for name, settings in BUILTIN_DATA.items()
    }
    with pytest.raises(WorkloadError, match="did you mean 'cifar10'"):
        dataset_named("cifar-10")
    shape = known_shape(DataSpec(builtin="cifar100", path="nowhere"))
    assert shape is not None and (shape.classes, shape.input_shape) == (100, (3, 32, 32))
    assert known_shape(DataSpec(builtin="image-folder", path="nowhere")) is None
