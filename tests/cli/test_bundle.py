"""`doctor --bundle` puts the texts of a run into one archive, and nothing that is the user's own."""

import json
import zipfile
from pathlib import Path

import pytest

SECRET = "hf_9f8e7d6c5b4a"
HOME = "/home/ada-lovelace"


@pytest.fixture
def failed(tmp_path, monkeypatch):
    """A run directory as a failed run leaves it, with all that must stay there."""
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.setenv("LOGNAME", "ada-lovelace")
    folder = tmp_path / "runs" / "20260101T000000Z-abcdef"
    for name in ("best", "trials/000", "reference"):
        (folder / name).mkdir(parents=True)
    for name in ("best/model.onnx", "best/weights.safetensors", "trials/000/lc-0.safetensors", "reference/model.onnx"):
        (folder / name).write_bytes(b"WEIGHTS")
    head = {"command": ["condensa", "run", f"{HOME}/secret/recipe.yaml"], "recipe_directory": f"{HOME}/secret"}
    (folder / "manifest.json").write_text(json.dumps(head | {"versions": {"torch": "2.13.0"}}))
    (folder / "run.log").write_text(
        f"2026-01-01T00:00:00Z loading with {SECRET}\n"
        "2026-01-01T00:00:01Z Traceback (most recent call last):\n"
        f'      File "{HOME}/secret/own.py", line 3, in forward\n'
        "        secret_sauce(x)\n"
        "    RuntimeError: bad sample tensor([0.25, 0.125])\n"
    )
    (folder / "resolved.yaml").write_text("name: tiny\nmodel:\n  args:\n    api_key: K123456\n")
    (folder / "recipe.yaml").write_text("# a comment of the user's\n")
    (folder / "trials.jsonl").write_text('{"crc32":"0","record":{"kind":"trial-ended"}}\n')
    (folder / "condensa-crash-x.txt").write_text("condensa 1\n\nKeyError: 3\n")
    (folder / "crash.txt").write_text(f'searching\nFatal Python error: Aborted\n  File "{HOME}/own.py", line 3 in f\n')
    (folder / "plan.json").symlink_to("/etc/passwd")
    return folder


def contents(archive: Path) -> dict[str, str]:
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        return {name: file.read(name).decode() for name in file.namelist()}


def test_the_archive_holds_what_went_wrong_and_nothing_of_the_users(failed, tmp_path, condensa):
    archive = tmp_path / "out.zip"

    answer = condensa("doctor", "--bundle", str(failed), "-o", str(archive), "--json")

    found = contents(archive)
    assert set(found) == {
        "run.log", "manifest.json", "resolved.yaml", "trials.jsonl", "condensa-crash-x.txt", "crash.txt", "doctor.json",
    }  # fmt: skip
    document = json.loads(answer.out)
    assert answer.code == document["exit_code"] == 0 and document["schema"] == "condensa.bundle/1"
    assert {file["name"]: file["bytes"] for file in document["files"]} == {n: len(t.encode()) for n, t in found.items()}
    whole = "\n".join(found.values())
    for gone in (SECRET, "ada-lovelace", "secret_sauce", "K123456", "0.25", "WEIGHTS", "root:", "comment of the user"):
        assert gone not in whole, gone
    assert "[HF_TOKEN]" in found["run.log"] and "RuntimeError: bad sample" in found["run.log"]
    assert 'File "RECIPE_DIR/own.py", line 3, in forward' in found["run.log"]
    assert json.loads(found["manifest.json"])["versions"] == {"torch": "2.13.0"}
    assert json.loads(found["doctor.json"])["schema"] == "condensa.doctor/1"


def test_people_are_told_what_is_in_it(failed, tmp_path, condensa, monkeypatch):
    monkeypatch.chdir(tmp_path)

    answer = condensa("doctor", "--bundle", str(failed))

    assert answer.code == 0
    assert answer.out.startswith("condensa-20260101T000000Z-abcdef.zip holds\n")
    assert "  run.log (" in answer.out and "look into it before you send it" in answer.out
    assert (tmp_path / "condensa-20260101T000000Z-abcdef.zip").is_file()


@pytest.mark.parametrize("where", ["nothing there", "taken", "no bundle", "no folder"])
def test_refusals_leave_no_archive(failed, tmp_path, condensa, where):
    archive = tmp_path / "out.zip"
    arguments = ["--bundle", str(failed)]
    if where == "nothing there":
        arguments = ["--bundle", str(tmp_path)]
    elif where == "no bundle":
        arguments = []
    elif where == "taken":
        archive.write_text("mine")
    elif where == "no folder":
        archive = tmp_path / "run.log" / "out.zip"
        (tmp_path / "run.log").write_text("in the way")

    answer = condensa("doctor", *arguments, "--output", str(archive))

    assert answer.code == (3 if where == "no folder" else 2)
    assert (archive.read_text() if where == "taken" else archive.exists()) in ("mine", False)
    assert not list(tmp_path.glob(".partial*"))
