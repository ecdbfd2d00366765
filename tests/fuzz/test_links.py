"""Links in a run directory, by which resuming it would write somewhere else."""

import hashlib
import os

import pytest
from condensa_cli.app import exit_code_of

from condensa_core.errors import ResumeError
from condensa_core.plain_file import open_plain, path_below
from condensa_core.report import Artifact, Outcome
from condensa_core.report.as_it_lies import lost_artifacts
from condensa_core.report.html import pictures_of
from condensa_core.run_directory import MANIFEST, RunDirectory


@pytest.mark.parametrize(
    "name", [".lock", "trials.jsonl", "run.log", "best", "trials", "trials/000", "trials/000/lc.json", "result.json"]
)
@pytest.mark.parametrize("to", ["folder", "file", "nothing"])
def test_a_run_directory_with_a_link_in_it_is_not_gone_on_with(tmp_path, capsys, name, to):
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "file").write_text("mine")
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    (run / MANIFEST).write_text("{}")
    (run / name).symlink_to(outside / to)

    assert exit_code_of(["resume", str(run)]) == 2

    assert "is a link, and may lead out of the run directory" in capsys.readouterr().err
    assert (outside / "file").read_text() == "mine"
    assert sorted(path.name for path in outside.rglob("*")) == ["file", "folder"]
    assert not (run / ".lock").exists() or name == ".lock"


def test_a_run_directory_may_be_reached_by_a_link(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / MANIFEST).write_text("{}")
    (tmp_path / "latest").symlink_to(tmp_path / "run")

    with RunDirectory.resume(tmp_path / "latest") as directory:
        assert directory.path == tmp_path / "latest"
    (tmp_path / "run" / "x").symlink_to(tmp_path)
    with pytest.raises(ResumeError, match="is a link"):
        RunDirectory.resume(tmp_path / "latest")


@pytest.mark.parametrize("link", ["trials", "trials/000", "trials/000/posterior.svg", "search.svg"])
def test_a_report_shows_no_picture_from_behind_a_link(tmp_path, link):
    outside, run = tmp_path / "outside", tmp_path / "run"
    for name in ("trials/000/posterior.svg", "search.svg", "front.svg"):
        for folder, text in ((outside, "secret"), (run, "shown")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    assert len(pictures_of(run)) == 3
    (run / link).rename(tmp_path / "gone")
    (run / link).symlink_to(outside / link)

    assert [picture.svg for picture in pictures_of(run)] == [b"shown", b"shown"]


@pytest.mark.parametrize("name", ["../secret", "{}/secret", "best/../../secret", "best/link", "elsewhere/secret"])
def test_a_report_says_nothing_of_a_file_elsewhere(tmp_path, name):
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "secret").write_text("a few words")
    (tmp_path / "run" / "best" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "run" / "elsewhere").symlink_to(tmp_path)
    name = name.format(tmp_path)
    digest = hashlib.sha256(b"a few words").hexdigest()

    (said,) = lost_artifacts(Outcome("ok", "x", artifacts=(Artifact(name, 1, digest),)), tmp_path / "run")

    assert said == f"{name} leads out of the run directory"


def test_an_artifact_of_an_impossible_name_is_missing(tmp_path):
    for name in ("x" * 5000, "a\0b", "\ud800"):
        (said,) = lost_artifacts(Outcome("ok", "x", artifacts=(Artifact(name, 1, "0" * 64),)), tmp_path)

        assert said == f"{name} is missing"


def test_a_file_of_a_run_directory_may_lie_deep_and_behind_a_link_to_the_directory(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "latest").symlink_to(tmp_path / "run")

    assert path_below(tmp_path / "latest", "trials/000/x") == tmp_path / "latest/trials/000/x"
    for name in ("/etc/passwd", "a/../b"):
        with pytest.raises(ResumeError, match="leads out of the run directory"):
            path_below(tmp_path / "latest", name)


@pytest.mark.parametrize("name", [".lock", "trials.jsonl", "run.log"])
def test_what_is_written_in_place_is_no_other_file_too(tmp_path, capsys, name):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / MANIFEST).write_text("{}")
    (run / name).hardlink_to(mine)

    with pytest.raises(ResumeError, match=f"{name} is a hard link"):
        open_plain(run / name, os.O_WRONLY)

    assert exit_code_of(["resume", str(run)]) == 2
    assert mine.read_text() == "mine"
