"""Paths in recipes: none leads writes out of the folder of runs, and none makes a command stumble."""

import gzip
import os
import struct

import pytest
from PIL import Image
from tiny_recipe import tiny

from condensa_core.errors import CondensaError, RecipeError, WorkloadError
from condensa_core.recipe import check_recipe, recipe_from
from condensa_core.workload.datasets import image_folder
from condensa_core.workload.datasets.cifar import load_cifar10
from condensa_core.workload.datasets.idx import read_idx
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.datasets.text_files import load as load_text
from condensa_core.workload.location import located

RECIPE = """\
condensa: 1
model: {{builtin: small-cnn{model}}}
data: {{builtin: digits}}
layers: [{{match: all, scheme: {{filter: {{}}}}}}]
constraint: {{metric: top1, max_drop: 2pp}}
objective: {{minimize: macs}}
{more}
"""


@pytest.mark.parametrize("folder", ["/etc/x", "/", "~", "~/x", "~root/x", "..", "../x", "a/../../x", "runs/..", "//x"])
def test_a_recipe_says_of_no_folder_elsewhere_that_runs_go_there(folder):
    with pytest.raises(RecipeError, match=r"E106.*leads out of the folder that condensa is called in"):
        recipe_from(tiny(output={"dir": folder}))


@pytest.mark.parametrize("folder", ["runs", "a/b", "./runs", "..a", "a..b", "\\x"])
def test_a_folder_below_is_one(folder):
    assert recipe_from(tiny(output={"dir": folder})).output.dir == folder


@pytest.mark.parametrize(
    "name", ["..", "../x", "/etc", "a/b", ".hidden", "x\n", "tор", "a\u200bb", "-x", "x" * 101, ""]
)
def test_a_name_is_no_path(name):
    with pytest.raises(RecipeError):
        recipe_from(tiny(name=name))


@pytest.mark.parametrize("name", ["~nosuchuser/x", "w" * 5000, "a/" * 3000, "/root/\u00e9" * 50])
def test_an_earlier_run_whose_path_cannot_be_looked_up_is_not_there(tmp_path, name):
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.format(model="", more=f"search: {{warm_start: ['{name}']}}"))

    assert [problem.code for problem in check_recipe(file)] == ["E505"]


def test_python_whose_path_cannot_be_looked_up_is_not_there(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.replace("builtin: small-cnn{model}", f"python: '{'w' * 5000}.py:f'").format(more=""))

    assert "E505" in [problem.code for problem in check_recipe(file)]


@pytest.mark.parametrize("path", ["w" * 5000, "~nosuchuser/x"])
def test_weights_whose_path_cannot_be_looked_up_are_told(tmp_path, path):
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.format(model=f", weights: '{path}'", more=""))

    (problem,) = check_recipe(file)

    assert problem.code == "E505" and "cannot be looked up" in problem.message and len(problem.message) < 200


@pytest.mark.parametrize("path", ["w" * 5000, "~nosuchuser/x"])
def test_data_and_weights_whose_path_cannot_be_looked_up_are_refused(tmp_path, path):
    with pytest.raises(WorkloadError, match=r"cannot be looked up|home folder"):
        located(path, tmp_path)


def packed_idx(path, shape, zeros):
    path.write_bytes(gzip.compress(struct.pack(f">4B{len(shape)}i", 0, 0, 8, len(shape), *shape) + bytes(zeros), 1))
    return path


@pytest.mark.parametrize("shape", [(4, 2), (2**31 - 1, 2**31 - 1, 2**31 - 1), (-1, -4), (2**30, 2)])
def test_packed_images_of_another_size_than_announced_are_refused(tmp_path, peak, shape):
    path = packed_idx(tmp_path / "x.gz", shape, 60_000_000)

    with peak(20_000_000), pytest.raises(WorkloadError, match=r"too long|no size of such a file"):
        read_idx(path)


def test_a_packed_file_of_the_announced_size_is_read(tmp_path):
    assert read_idx(packed_idx(tmp_path / "x.gz", (2, 3), 6)).shape == (2, 3)


def test_folders_of_data_that_hold_devices_do_not_block(tmp_path):
    for name in "ab":
        (tmp_path / "train" / name).mkdir(parents=True)
        os.mkfifo(tmp_path / "train" / name / "x.png")
    os.mkfifo(tmp_path / "x.txt")
    (tmp_path / "data_batch_1.bin").symlink_to("/dev/zero")
    options = DataOptions(path=str(tmp_path), size=8)

    for load in (image_folder.load, load_text, load_cifar10):
        with pytest.raises(CondensaError):
            load(options, tmp_path)


def two_classes(folder, image):
    for name in "ab":
        (folder / "train" / name).mkdir(parents=True)
        image.save(folder / "train" / name / "x.png")


@pytest.mark.parametrize("size", [(4000, 1), (1, 4000)])
def test_an_image_that_would_swell_is_refused(tmp_path, size):
    two_classes(tmp_path, Image.new("RGB", size))

    with pytest.raises(WorkloadError, match="more than 50 times the other"):
        image_folder.load(DataOptions(path=str(tmp_path), size=224), tmp_path)


def test_an_image_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    two_classes(tmp_path, Image.new("1", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)

    with pytest.raises(WorkloadError, match="not a readable image"):
        image_folder.load(DataOptions(path=str(tmp_path), size=8), tmp_path)
