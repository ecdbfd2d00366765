"""A run that was begun with something else is not continued, and the refusal says what changed."""

import json
import shutil

import numpy as np
import pytest
from own_recipe import OWN, own_recipe
from safetensors.torch import load_file, save_file

from condensa_core import flow
from condensa_core.errors import Interrupted, ResumeError
from condensa_core.progress import Advanced, Note


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder with a recipe's Python, data and weights, and a run of it that was stopped in its first trial."""
    folder = tmp_path_factory.mktemp("begun")
    recipe = own_recipe(folder)

    def stop(event):
        if isinstance(event, Advanced) and event.phase == "learn":
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        flow.run(recipe, out=folder / "runs", cache_dir=folder / "cache", listener=stop)
    return folder


@pytest.fixture
def begun(interrupted, tmp_path):
    """The folder's copy, as if it always had been here, and the run directory in it."""
    folder = tmp_path / "begun"
    shutil.copytree(interrupted, folder)
    (directory,) = (folder / "runs" / "tiny").iterdir()
    head = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(head | {"recipe_directory": str(folder)}))
    return folder, directory


def resume(directory, folder, **kwargs):
    return flow.resume(directory, cache_dir=folder / "cache", **kwargs)


def test_unchanged_it_goes_on_to_its_end(begun):
    folder, directory = begun

    assert resume(directory, folder).trainings_used == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [("own.py", OWN + "# edited\n"), ("layers.py", "width = 6  # edited\n")],
    ids=["named in the recipe", "imported by it"],
)
def test_edited_python_is_refused_by_name_and_hash_before_it_runs(begun, file, text):
    folder, directory = begun
    (folder / file).write_text(f"open({str(folder / 'ran')!r}, 'w')\n{text}")

    hashes = r"\(its hash was [0-9a-f]{12}, now it is [0-9a-f]{12}\)"
    with pytest.raises(ResumeError, match=f"{file} {hashes}") as refusal:
        resume(directory, folder)

    assert "start a new run" in refusal.value.hint
    assert not (folder / "ran").exists()


def test_python_that_is_gone_is_refused_by_name(begun):
    folder, directory = begun
    (folder / "layers.py").unlink()

    with pytest.raises(ResumeError, match=r"layers\.py is gone \(looked for /.*layers\.py\)"):
        resume(directory, folder)


def test_python_that_would_hide_an_installed_module_is_refused_by_name(begun):
    folder, directory = begun
    (folder / "numpy.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")

    with pytest.raises(ResumeError, match=r"numpy\.py is new, and would be imported"):
        resume(directory, folder)

    assert not (folder / "ran").exists()


def test_other_data_is_refused_and_the_manifest_keeps_what_the_run_began_with(begun):
    folder, directory = begun
    stored = dict(np.load(folder / "val.npz"))
    stored["inputs"][-1, -1] += 1e-3
    np.savez(folder / "val.npz", **stored)
    kept = (directory / "manifest.json").read_text()

    for _ in range(2):  # the refusal must not make the change the new truth
        with pytest.raises(ResumeError, match=r"the data: the hash was [0-9a-f]{12}, now it is"):
            resume(directory, folder)

    assert (directory / "manifest.json").read_text() == kept


def test_other_weights_are_refused(begun):
    folder, directory = begun
    weights = load_file(folder / "w.safetensors")
    weights["4.bias"][0] += 1
    save_file(weights, folder / "w.safetensors")

    with pytest.raises(ResumeError, match="the reference's weights: the hash was"):
        resume(directory, folder)


def test_other_versions_of_packages_are_told_by_name(begun):
    folder, directory = begun
    head = json.loads((directory / "manifest.json").read_text())
    head["versions"]["onnx"] = "0.1"
    (directory / "manifest.json").write_text(json.dumps(head))
    notes = []

    resume(directory, folder, listener=notes.append)

    told = [event.message for event in notes if isinstance(event, Note) and event.level == "warning"]
    assert [text for text in told if "other versions" in text and "onnx 0.1, now" in text and "torch" not in text]


def test_a_run_goes_on_from_its_own_copy_of_what_it_trained(tmp_path, monkeypatch):
    recipe = own_recipe(tmp_path, model={"python": "own.py:net"}, reference={"train": {"epochs": 1}})

    def stop(event):
        if isinstance(event, Advanced) and event.phase == "learn":
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache", listener=stop)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr("condensa_core.workload.reference_model.fit", None)
    (directory,) = (tmp_path / "runs" / "tiny").iterdir()

    assert resume(directory, tmp_path).trainings_used == 1


READS_A_FILE = """
class Turned(nn.Module):
    def forward(self, x):
        return x * float(Path(__file__).with_name("factor.txt").read_text())


def turned():
    return nn.Sequential(*net(), Turned())
"""


def test_a_model_that_computes_something_else_is_not_gone_on_with_nor_compared_with_what_was_kept(tmp_path):
    recipe = own_recipe(tmp_path, model={"python": "own.py:turned"}, reference={"train": {"epochs": 1}})
    (tmp_path / "own.py").write_text(OWN + READS_A_FILE)
    (tmp_path / "factor.txt").write_text("1.0")
    events = []

    def stop(event):
        events.append(event)
        if isinstance(event, Advanced) and event.phase == "learn":
            raise Interrupted("stop")

    def begin():
        with pytest.raises(Interrupted):
            flow.run(recipe, out=tmp_path / "runs", cache_dir=tmp_path / "cache", listener=stop)

    begin()
    (directory,) = (tmp_path / "runs" / "tiny").iterdir()
    (tmp_path / "factor.txt").write_text("-1.0")

    with pytest.raises(ResumeError, match="computes something else than when this run began"):
        resume(directory, tmp_path)

    begin()
    told = [event.message for event in events if isinstance(event, Note) and event.level == "warning"]
    assert any("computes something else than it did; training it again" in text for text in told)
    (tmp_path / "factor.txt").write_text("1.0")
    events.clear()
    assert resume(directory, tmp_path).trainings_used == 1
