"""Links in a run directory, by which resuming it would write somewhere else."""

import pytest
from condensa_cli.app import exit_code_of

from condensa_core.errors import ResumeError
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
