"""A finished run that lies elsewhere, or has lost what it shipped."""

import json
import shutil
import zlib

import pytest
from own_recipe import own_recipe

from condensa_core import flow
from condensa_core.errors import ResumeError, RunFailed
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


@pytest.mark.parametrize("name", ["weights.safetensors", "keep.json", "model.onnx"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_nothing_ships_of_a_trial_whose_files_are_others_until_they_are_put_back(finished, tmp_path, name, damage):
    directory = tmp_path / "copy"
    shutil.copytree(finished.run_dir, directory)
    shutil.rmtree(directory / "best")
    file = directory / "trials" / "000" / name
    whole = file.read_bytes()
    file.unlink() if damage == "gone" else file.write_bytes(whole[:-1])

    with pytest.raises(RunFailed) as caught:
        flow.resume(directory, cache_dir=tmp_path / "cache")

    assert str(file) in caught.value.message and "put it back" in caught.value.hint
    assert not (directory / "best").exists()
    file.write_bytes(whole)
    assert flow.resume(directory, cache_dir=tmp_path / "cache").status == finished.status


def another_point(ended):
    ended["point"] = {"s": 0.123}


def half_an_interval(ended):
    ended["observation"]["details"]["ratio"] = {"value": 2.0}


def no_hash(ended):
    ended["observation"]["details"]["files"]["model.onnx"] = 5


def no_weights(ended):
    del ended["observation"]["details"]["files"]["weights.safetensors"]


def twice(ended):
    pass


@pytest.mark.parametrize("edit", [another_point, half_an_interval, no_hash, no_weights, twice])
def test_a_journal_that_is_whole_and_tells_no_such_trial_is_refused(finished, tmp_path, edit):
    directory = tmp_path / "copy"
    shutil.copytree(finished.run_dir, directory)
    shutil.rmtree(directory / "best")
    journal = directory / "trials.jsonl"
    lines = journal.read_text().splitlines()
    record = json.loads(lines[-1])["record"]
    assert record["kind"] == "trial-ended"
    edit(record["payload"])
    text = json.dumps(record, separators=(",", ":"))
    changed = f'{{"crc32":"{zlib.crc32(text.encode()):08x}","record":{text}}}'
    journal.write_text("\n".join([*(lines if edit is twice else lines[:-1]), changed]) + "\n")

    with pytest.raises(ResumeError, match=r"trials\.jsonl does not tell of its trials what a run does"):
        flow.resume(directory, cache_dir=tmp_path / "cache")

    assert not (directory / "best").exists()
