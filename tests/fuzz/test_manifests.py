"""Manifests that JSON's reader takes and its writer does not, in every command that goes on with one."""

import json

import pytest

from condensa_core.errors import ResumeError, UsageError
from condensa_core.flow.ablating import _begin
from condensa_core.flow.comparable import head_of
from condensa_core.flow.same_inputs import require_same_found
from condensa_core.flow.warm_starting import _read
from condensa_core.run_directory import MANIFEST, RunDirectory

SOUND = {"recipe_directory": "/x", "recipe_name": "x", "condensa": "1", "hashes": {}}
UNWRITABLE = ["Infinity", "-Infinity", "NaN", "1e999", '"\\ud800"', '{"\\udc00": 1}', "[" * 100_000, "9" * 5000]


@pytest.mark.parametrize("value", UNWRITABLE, ids=lambda value: value[:12])
def test_a_manifest_that_could_not_be_written_again_is_refused(tmp_path, value):
    sound = json.dumps(SOUND)
    (tmp_path / MANIFEST).write_text(sound)
    assert head_of(tmp_path) == SOUND

    (tmp_path / MANIFEST).write_text(f'{sound[:-1]}, "more": {value}}}')

    with pytest.raises(ResumeError, match="cannot be read; start a new run"):
        head_of(tmp_path)
    with pytest.raises(ResumeError):
        require_same_found(tmp_path, {"data": "x"})
    with RunDirectory.open(tmp_path) as directory, pytest.raises(ResumeError):
        _begin(directory, None, (), new=False)
    with pytest.raises(UsageError):
        _read(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}"])
def test_a_manifest_of_another_form_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)

    with pytest.raises(ResumeError):
        head_of(tmp_path)
    with RunDirectory.open(tmp_path) as directory, pytest.raises(ResumeError):
        _begin(directory, None, (), new=False)
