"""FIFOs, devices, links and sparse files in a run directory, which would hold or fill whatever reads them."""

import os
import socket
import subprocess
import sys

import pytest
from condensa_cli.app import exit_code_of

from condensa_core.errors import ResumeError
from condensa_core.plain_file import open_plain, read_plain
from condensa_core.report.html import pictures_of
from condensa_core.run_directory import MANIFEST, RunDirectory
from condensa_core.search import Journal, read_journal

SECONDS = 60  # a command that hangs is what is looked for
HUGE = 20 << 30  # bytes, of which a sparse file takes none


@pytest.fixture
def run(tmp_path):
    """A folder that passes for a run directory."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / MANIFEST).write_text("{}")
    return tmp_path / "run"


def stop_hanging(command, folder):
    """The exit code and the messages of the command, in a process that is killed if it hangs."""
    code = "import sys; from condensa_cli.app import exit_code_of; sys.exit(exit_code_of(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=SECONDS, cwd=folder
    )
    return ended.returncode, ended.stderr


def test_a_fifo_is_named_by_everything_that_opens_a_file(run):
    os.mkfifo(run / "pipe")

    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND | os.O_CREAT, os.O_RDWR | os.O_CREAT):
        with pytest.raises(ResumeError, match="pipe is a FIFO, where a run has a plain file"):
            open_plain(run / "pipe", flags)


@pytest.mark.parametrize("kind", ["device", "socket", "folder", "link"])
def test_what_is_no_plain_file_is_named(run, kind, monkeypatch):
    path = run / "x"
    if kind == "device":
        path = path.parent / "/dev/zero"
    elif kind == "socket":
        monkeypatch.chdir(run)  # the names of sockets are short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("x")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(run / MANIFEST)

    with pytest.raises(ResumeError, match=f"is a {kind}, where"):
        read_plain(path)


def test_a_file_larger_than_any_run_writes_is_not_read(run):
    (run / "large").write_bytes(b"x" * 101)

    assert read_plain(run / "large", 101) == b"x" * 101
    with pytest.raises(ResumeError, match="takes 101 bytes, and no run writes more than 100"):
        read_plain(run / "large", 100)


@pytest.mark.parametrize("name", ["resolved.yaml", "trials.jsonl", ".lock", "run.log", "result.json", "trials/000/x"])
def test_resume_refuses_a_run_directory_with_a_fifo_in_it(run, name):
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(run / name)

    with pytest.raises(ResumeError, match="is a FIFO"):
        RunDirectory.resume(run)


def test_no_command_waits_for_a_fifo(run):
    os.mkfifo(run / "trials.jsonl")
    os.mkfifo(run / ".lock")

    code, said = stop_hanging(["resume", str(run)], run)

    assert code == 2 and "is a FIFO" in said


@pytest.mark.parametrize("name", ["result.json", "trials.jsonl"])
def test_reports_refuse_a_sparse_file(run, capsys, name):
    with (run / name).open("wb") as file:
        file.truncate(HUGE)

    assert exit_code_of(["report", str(run)]) == 2

    assert "and no run writes more than" in capsys.readouterr().err


def test_journals_are_plain_files(run):
    os.mkfifo(run / "trials.jsonl")
    with pytest.raises(ResumeError, match="is a FIFO"):
        read_journal(run / "trials.jsonl")
    with pytest.raises(ResumeError, match="is a FIFO"):
        Journal(run / "trials.jsonl", "f")
    (run / "run.log").symlink_to(run / MANIFEST)
    with pytest.raises(ResumeError, match="is a link"):
        RunDirectory.open(run).log("a line")
    assert (run / MANIFEST).read_text() == "{}"


def test_no_picture_is_taken_from_elsewhere(run, tmp_path):
    (tmp_path / "key").write_text("private")
    (run / "search.svg").symlink_to(tmp_path / "key")
    (run / "front.svg").write_text("<svg/>")

    assert [picture.svg for picture in pictures_of(run)] == [b"<svg/>"]
