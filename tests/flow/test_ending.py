"""However a run ends, result.json says so, and no result is lost to a later command."""

import errno
import json
import os

import pytest

from condensa_core.errors import Interrupted, MissingRuntime, RunFailed, WorkloadError
from condensa_core.flow.ending import ending_told, forget_ending
from condensa_core.report import Ending, Outcome, read_result
from condensa_core.run_directory import MANIFEST, RunDirectory

ERRORS = [
    (Interrupted("stopped"), "interrupted", 130),
    (RunFailed("diverged"), "failed", 4),
    (KeyboardInterrupt(), "interrupted", 130),
    (ZeroDivisionError("a bug"), "bug", 70),
    (SystemExit(0), "error", 2),
]


@pytest.fixture
def directory(tmp_path):
    with RunDirectory.create(tmp_path, "x", "f") as directory:
        directory.write_json(MANIFEST, {})
        yield directory


def ended(directory, error, *, resumed=True):
    """What result.json holds after `error`."""
    with pytest.raises(type(error)) as caught, ending_told(directory, resumed=resumed):
        raise error
    assert caught.value is error
    return read_result(directory.path / "result.json")


@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
def test_whatever_ends_a_run_is_kept_with_the_way_to_go_on(directory, error, status, code):
    found = ended(directory, error)

    assert isinstance(found, Ending)
    assert (found.status, found.exit_code, found.run_dir) == (status, code, str(directory.path))
    assert found.continue_with == f"condensa resume {directory.path}"
    assert found.reasons


@pytest.mark.parametrize("error", [WorkloadError("no such metric"), MissingRuntime("no runtime")])
def test_a_new_run_that_is_refused_has_nothing_to_go_on_with_and_a_resumed_one_has(directory, error):
    assert ended(directory, error, resumed=False).continue_with is None
    assert ended(directory, error, resumed=True).continue_with == f"condensa resume {directory.path}"


def test_a_run_that_stopped_before_its_manifest_cannot_be_resumed_and_does_not_say_so(directory):
    (directory.path / MANIFEST).unlink()

    assert ended(directory, Interrupted("stopped"), resumed=False).continue_with is None


def test_the_newest_ending_stands_until_the_run_goes_on(directory):
    assert ended(directory, Interrupted("stopped")).exit_code == 130
    assert ended(directory, RunFailed("diverged")).exit_code == 4

    forget_ending(directory)

    assert not (directory.path / "result.json").exists()


@pytest.mark.parametrize(
    "content", [json.dumps(Outcome("failed", "x").to_json()), "{", '{"schema": "condensa.result/2"}']
)
def test_what_is_no_ending_is_never_replaced(directory, content):
    result = directory.write_text("result.json", content)

    for error, *_ in ERRORS:
        with pytest.raises(type(error)), ending_told(directory, resumed=True):
            raise error
    forget_ending(directory)

    assert result.read_text() == content


def test_a_reason_that_no_file_can_hold_as_it_is_does_not_hide_the_error(directory):
    assert ended(directory, RunFailed("no such file: \udcff")).reasons == ("no such file: \udcff",)


def test_a_full_disk_leaves_the_error_as_it_was(directory, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(RunFailed, match="diverged"), ending_told(directory, resumed=True):
        raise RunFailed("diverged")

    assert sorted(path.name for path in directory.path.iterdir()) == [".lock", MANIFEST]
