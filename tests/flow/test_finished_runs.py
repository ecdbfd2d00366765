"""A finished run that lies elsewhere, or has lost what it shipped."""

import shutil

import pytest
from own_recipe import own_recipe

from condensa_core import flow
from condensa_core.progress import Note, TrialStarted


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    recipe = own_recipe(folder, search={"trials": 1})
    return flow.run(recipe, out=folder / "runs", cache_dir=folder / "cache")


def test_a_copied_run_is_resumed_where_it_is(finished, tmp_path):
    shutil.copytree(finished.run_dir, tmp_path / "copy")

    assert flow.resume(tmp_path / "copy").run_dir == str(tmp_path / "copy")


def test_what_is_missing_is_written_again(finished, tmp_path):
    directory = tmp_path / "copy"
    shutil.copytree(finished.run_dir, directory)
    shutil.rmtree(directory / "best")
    events = []

    again = flow.resume(directory, listener=events.append, cache_dir=tmp_path / "cache")

    told = [event.message for event in events if isinstance(event, Note) and event.level == "warning"]
    assert any("best/model.onnx is missing" in text and "it is concluded again" in text for text in told)
    assert not any(isinstance(event, TrialStarted) for event in events)
    assert (again.status, again.notes) == (finished.status, finished.notes)
    sha256 = {file.path: file.sha256 for file in finished.artifacts if file.path.endswith(("onnx", "safetensors"))}
    assert sha256.items() <= {file.path: file.sha256 for file in again.artifacts}.items()
    assert (directory / "best" / "model.onnx").is_file()
