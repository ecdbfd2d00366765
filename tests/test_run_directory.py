"""The run directory: atomic, exclusive, and honest about the machine."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.errors import MachineError, ResumeError, RunFailed, UsageError
from condensa_core.run_directory import MANIFEST, RunDirectory, file_sha256, manifest, versions
from condensa_core.whole_file import make_folder, replacing


def test_runs_created_in_the_same_second_do_not_meet(tmp_path):
    directories = [RunDirectory.create(tmp_path, "digits", "same") for _ in range(4)]

    assert len({d.path for d in directories}) == 4
    assert all(d.path.parent == tmp_path / "digits" for d in directories)


@given(st.text(min_size=1, max_size=20))
@settings(max_examples=60)
def test_any_name_makes_one_folder_inside_the_root_or_is_refused(tmp_path_factory, name):
    root = tmp_path_factory.mktemp("runs")

    try:
        with RunDirectory.create(root, name, "f") as directory:
            path = directory.path
    except UsageError:
        assert not list(root.iterdir())
        return

    assert path.parent.parent == root
    assert "/" not in path.parent.name and path.parent.name not in (".", "..")


def test_second_process_is_refused_with_the_pid_of_the_first(tmp_path):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        directory.write_json(MANIFEST, {})
        code = (
            "import sys; from pathlib import Path; from condensa_core.run_directory import RunDirectory\n"
            "from condensa_core.errors import ResumeError\n"
            "try: RunDirectory.resume(Path(sys.argv[1]))\n"
            "except ResumeError as err: print(err)"
        )

        said = subprocess.run([sys.executable, "-c", code, str(directory.path)], capture_output=True, text=True)

        assert f"in use by process {os.getpid()}" in said.stdout, said.stderr
    RunDirectory.resume(directory.path).close()  # and free again after close


def test_a_forked_child_holds_no_lock(tmp_path):
    code = (
        "import os, signal, sys, time; from pathlib import Path\n"
        "from condensa_core.run_directory import RunDirectory\n"
        "directory = RunDirectory.create(Path(sys.argv[1]), 'digits', 'f')\n"
        "directory.write_json('manifest.json', {})\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(60); os._exit(0)\n"
        "Path(sys.argv[1], 'child').write_text(str(child))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    owner = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    child = int((tmp_path / "child").read_text())
    (path,) = (tmp_path / "digits").iterdir()

    try:
        RunDirectory.resume(path).close()
    finally:
        os.kill(child, signal.SIGKILL)
    assert owner.returncode == -signal.SIGKILL
    assert (path / ".lock").read_text() == ""  # a later process may have the number of this one


def test_a_lock_whose_process_is_gone_names_who_holds_it(tmp_path):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        directory.write_json(MANIFEST, {})
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = (
        "import fcntl, os, sys; file = open(sys.argv[1], 'r+'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(sys.argv[2]); file.flush(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(directory.path / ".lock"), str(gone.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None and holder.stdout is not None

    with holder:
        holder.stdout.readline()
        with pytest.raises(ResumeError, match=f"process {gone.pid} has ended, and process {holder.pid} still holds"):
            RunDirectory.resume(directory.path)
        holder.stdin.close()


def test_reading_needs_no_lock(tmp_path):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        assert RunDirectory.open(directory.path).path == directory.path


def test_missing_directory_is_a_resume_error(tmp_path):
    for opener in (RunDirectory.open, RunDirectory.resume):
        with pytest.raises(ResumeError, match="no run directory"):
            opener(tmp_path / "none")


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    mine = tmp_path / ".partial-mine"
    mine.write_text("not condensa's")

    with pytest.raises(ResumeError, match=r"holds no manifest.json; it is no run directory"):
        RunDirectory.resume(tmp_path)

    assert list(tmp_path.iterdir()) == [mine]


def test_resuming_removes_unfinished_files_only(tmp_path):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        directory.write_json(MANIFEST, {})
        (directory.path / "trials" / "000").mkdir(parents=True)
        (directory.path / "trials" / "000" / ".partial-1-model.onnx").write_text("half")
        directory.write_text("trials/000/keep.json", "{}")

    RunDirectory.resume(directory.path).close()

    left = sorted(str(file.relative_to(directory.path)) for file in directory.path.rglob("*") if file.is_file())
    assert left == [".lock", MANIFEST, "trials/000/keep.json"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        directory.write_text("best/notes.txt", "old")

        with pytest.raises(ZeroDivisionError), directory.replacing("best/notes.txt") as partial:
            partial.write_text("half")
            raise ZeroDivisionError

        assert partial.suffix == ".txt"
        assert [p.name for p in (directory.path / "best").iterdir()] == ["notes.txt"]
        assert (directory.path / "best/notes.txt").read_text() == "old"


def test_json_refuses_nan_and_writes_nothing(tmp_path):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        with pytest.raises(ValueError, match="JSON"):
            directory.write_json("result.json", {"x": float("nan")})

        assert not (directory.path / "result.json").exists()
        assert json.loads(directory.write_json("result.json", {"x": "µ"}).read_text()) == {"x": "µ"}


def test_full_disk_is_a_failed_run_with_the_command_to_continue(tmp_path, monkeypatch):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:

        def full(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)

        with pytest.raises(RunFailed, match="condensa resume"):
            directory.write_text("a.txt", "x")


def test_the_name_of_every_new_folder_is_brought_to_the_disk(tmp_path, monkeypatch):
    opened, synced = os.open, []

    def noted(path, *args, **kwargs):
        synced.append(Path(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", noted)

    make_folder(tmp_path / "trials" / "003")
    make_folder(tmp_path / "trials" / "003")  # is there

    assert (tmp_path / "trials" / "003").is_dir()
    assert synced == [tmp_path, tmp_path / "trials"]


@pytest.mark.parametrize(
    ("number", "todo"), [(errno.EROFS, "make it writable"), (errno.EFBIG, "ulimit -f"), (errno.EIO, "check the disk")]
)
def test_a_refused_sync_names_the_file_and_what_to_do(tmp_path, monkeypatch, number, todo):
    def refused(handle):
        raise OSError(number, os.strerror(number))

    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        monkeypatch.setattr(os, "fsync", refused)

        with pytest.raises(OSError) as plain, replacing(directory.path / "b.txt") as partial:
            partial.write_text("x")
        with pytest.raises(RunFailed) as told:
            directory.write_text("a.txt", "x")

    assert plain.value.filename == str(directory.path / "b.txt")
    assert "a.txt" in told.value.message and todo in told.value.hint and "condensa resume" in told.value.hint
    assert sorted(path.name for path in directory.path.iterdir()) == [".lock"]


def test_disk_that_refuses_the_first_files_is_a_machine_error(tmp_path, monkeypatch):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        with directory.starting():
            directory.write_text("recipe.yaml", "x")

        def full(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)

        refused = pytest.raises(MachineError, match=r"cannot write .*manifest.json: No space left.*--out")
        with refused as caught, directory.starting():
            directory.write_json(MANIFEST, {})

        assert "condensa resume" not in str(caught.value)
        with pytest.raises(ZeroDivisionError), directory.starting():  # other errors pass
            raise ZeroDivisionError
        with pytest.raises(RunFailed):  # and later a full disk is a failed run again
            directory.write_text("plan.json", "{}")


def test_root_that_cannot_hold_a_run_is_a_machine_error(tmp_path):
    (tmp_path / "file").write_text("in the way")

    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    for root in (tmp_path / "file", tmp_path / "link"):
        with pytest.raises(MachineError, match="cannot create a run") as caught:
            RunDirectory.create(root, "digits", "f")
        assert "remove it, or choose another place with --out" in caught.value.hint


def test_log_appends_dated_lines(tmp_path):
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        directory.log("one")
        directory.log("two\nlines")

        lines = (directory.path / "run.log").read_text().splitlines()

    assert [line[21:] for line in lines[:2]] == ["one", "two"]
    assert lines[2] == "    lines"


def test_manifest_is_json_and_knows_versions_without_loading_torch():
    code = (
        "import json, sys\nfrom condensa_core.run_directory import manifest\n"
        "json.dumps(manifest(['condensa', 'run'], seed=1, hashes={'recipe': 'ab'}))\n"
        "assert not {'torch', 'onnx', 'numpy'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

    import torch

    assert versions()["torch"] == torch.__version__
    assert versions()["python"] == sys.version.split()[0]
    assert manifest([], seed=7, hashes={"a": "b"})["hashes"] == {"a": "b"}


def test_file_hash_is_the_published_one_of_abc(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1

    digest = file_sha256(tmp_path / "abc")

    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


_WRITER = """
import itertools, sys
from pathlib import Path
from condensa_core.run_directory import RunDirectory
from condensa_core.search import Journal

directory = RunDirectory.resume(Path(sys.argv[1]))
journal = Journal(directory.path / "trials.jsonl", "f")
for i in itertools.count(len(journal.entries)):
    journal.append("count", {"i": i, "padding": "x" * 3000})
    directory.write_text("best/state.txt", f"{i}:" + f"{i % 10}" * 400_000)
    print(i, flush=True)
"""


def test_kill_9_leaves_whole_files_and_loses_no_finished_record(tmp_path):
    draw = random.Random(0)
    with RunDirectory.create(tmp_path, "digits", "f") as directory:
        directory.write_json(MANIFEST, {})
    seen = -1
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(directory.path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        seen = int(writer.stdout.readline())  # it is writing now

        time.sleep(draw.uniform(0.0, 0.05))
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split("\n")
        writer.wait()
        writer.stdout.close()

        seen = max([seen, *(int(line) for line in rest[:-1])])
        number, _, content = (directory.path / "best/state.txt").read_text().partition(":")
        assert content == f"{int(number) % 10}" * 400_000  # whole
        assert int(number) >= seen  # what was reported written is there
        from condensa_core.search import read_journal

        entries = read_journal(directory.path / "trials.jsonl")[1]
        assert [e.payload["i"] for e in entries] == list(range(len(entries)))
        assert len(entries) - 1 in (int(number), int(number) + 1)  # at most the record being written is lost
    RunDirectory.resume(directory.path).close()  # the dead process holds no lock
    assert not list(directory.path.rglob(".partial-*"))
