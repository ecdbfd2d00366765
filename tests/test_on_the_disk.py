"""What is said to be on the disk was brought there: each write is synced, a file before its new name and after it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from condensa_core.search import Journal
from condensa_core.whole_file import make_folder, replacing


@pytest.fixture
def calls(monkeypatch):
    """What was written, synced and renamed, in order, by the names of the files."""
    made = []

    def name(handle):
        return Path(f"/proc/self/fd/{handle}").resolve().name

    def recorded(what, function, named):
        def called(first, *rest, **others):
            found = named(first)
            result = function(first, *rest, **others)
            made.append((what, found))
            return result

        return called

    monkeypatch.setattr(os, "write", recorded("write", os.write, name))
    monkeypatch.setattr(os, "fsync", recorded("fsync", os.fsync, name))
    monkeypatch.setattr(os, "replace", recorded("rename", os.replace, lambda path: Path(path).name))
    return made


def test_a_record_of_the_journal_is_on_the_disk_before_the_run_goes_on(tmp_path, calls):
    path = tmp_path / "folder" / "trials.jsonl"
    path.parent.mkdir()

    with Journal(path, "f") as journal:
        header = [*calls]
        calls.clear()
        for i in range(3):
            journal.append("note", {"i": i})

    record = [("write", "trials.jsonl"), ("fsync", "trials.jsonl")]
    assert header == [*record, ("fsync", "folder")]
    assert calls == record * 3


def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_the_run_goes_on(tmp_path, calls):
    folder = tmp_path / "folder"
    folder.mkdir()

    with replacing(folder / "model.onnx") as partial:
        partial.write_text("whole")

    assert calls == [("fsync", partial.name), ("rename", partial.name), ("fsync", "folder")]
    assert partial.name != "model.onnx"


def test_the_name_of_a_folder_is_on_the_disk_from_the_top(tmp_path, calls):
    make_folder(tmp_path / "run" / "trials")

    assert calls == [("fsync", tmp_path.name), ("fsync", "run")]
