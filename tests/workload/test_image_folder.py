"""Folders of images: classes, order, geometry, and what is refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from condensa_core.errors import MachineError, MissingRuntime, WorkloadError
from condensa_core.randomness import Seed
from condensa_core.workload import load_splits

try:
    from PIL import Image
except ImportError:
    Image = None
needs_pillow = pytest.mark.skipif(Image is None, reason="Pillow is not installed")


def splits_of(folder: Path, **options):
    spec = SimpleNamespace(builtin="image-folder", options={"path": str(folder), "size": 8, **options})
    return load_splits(spec, seed=Seed(0), directory=Path())


def paint(folder: Path, part: str, name: str, count: int, colour: tuple[int, int, int]) -> None:
    (folder / part / name).mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (16 + number, 12), colour).save(folder / part / name / f"{number}.png")


@needs_pillow
def test_class_folders_become_classes_in_order_of_name(tmp_path):
    for part, count in (("train", 10), ("test", 3)):
        paint(tmp_path, part, "red", count, (255, 0, 0))
        paint(tmp_path, part, "blue", count, (0, 0, 255))

    splits = splits_of(tmp_path)

    assert (splits.classes, splits.input_shape) == (2, (3, 8, 8))
    assert [splits.train.count, splits.val.count, splits.test.count] == [18, 2, 6]
    assert splits.test.targets.tolist() == [0, 1] * 3  # blue first; classes take turns
    for image, label in zip(splits.test.inputs, splits.test.targets.tolist(), strict=True):
        assert image[:, 4, 4].tolist() == ([0, 0, 255], [255, 0, 0])[label]


@needs_pillow
def test_the_centre_is_kept_at_the_scale_of_the_shorter_side(tmp_path):
    paint(tmp_path, "train", "a", 2, (0, 0, 0))
    (tmp_path / "train" / "b").mkdir()
    stripes = Image.new("RGB", (48, 16), (255, 0, 0))
    stripes.paste((0, 255, 0), (16, 0, 32, 16))
    for number in range(2):
        stripes.save(tmp_path / "train" / "b" / f"{number}.png")

    splits = splits_of(tmp_path, val_count=2)

    striped = splits.train.inputs[splits.train.targets == 1][0]
    assert striped[1, :, 1:7].min() == 255  # the middle third, edges blended by the resampling
    assert striped[0, :, 2:6].max() == 0


@needs_pillow
def test_an_own_val_folder_is_used_as_it_is(tmp_path):
    for part in ("train", "val"):
        paint(tmp_path, part, "a", 4, (1, 2, 3))
        paint(tmp_path, part, "b", 4, (200, 2, 3))

    splits = splits_of(tmp_path)

    assert [splits.train.count, splits.val.count, splits.test] == [8, 8, None]
    with pytest.raises(WorkloadError, match="brings its own val part"):
        splits_of(tmp_path, val_count=2)


@needs_pillow
def test_folder_refusals(tmp_path):
    with pytest.raises(WorkloadError, match="has no folder 'train'"):
        splits_of(tmp_path)
    paint(tmp_path, "train", "a", 2, (1, 2, 3))
    with pytest.raises(WorkloadError, match="1 class folders, needs at least 2"):
        splits_of(tmp_path)
    paint(tmp_path, "train", "b", 2, (1, 2, 3))
    with pytest.raises(MachineError, match="choose a smaller size"):
        splits_of(tmp_path, size=10**7)
    paint(tmp_path, "val", "c", 2, (1, 2, 3))
    with pytest.raises(WorkloadError, match="class 'c' that train/ lacks"):
        splits_of(tmp_path)
    (tmp_path / "train" / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "val" / "c").rename(tmp_path / "val" / "b")
    with pytest.raises(WorkloadError, match=r"0.png is not a readable image"):
        splits_of(tmp_path)


@pytest.mark.skipif(Image is not None, reason="Pillow is installed")
def test_without_pillow_the_extra_is_named(tmp_path):
    with pytest.raises(MissingRuntime, match="pip install pillow"):
        splits_of(tmp_path)
