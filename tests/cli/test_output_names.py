"""What a command is told to write must be a file: a folder, or no name, is refused before anything is done."""

import pytest

COMMANDS = {
    "--html": ("report", "."),
    "--junit": ("bench", "m.onnx"),
    "--markdown": ("bench", "m.onnx"),
    "--save-baseline": ("bench", "m.onnx"),
    "--output": ("doctor", "--bundle", "."),
    "--out": ("init",),
}


@pytest.mark.parametrize("name", ["", ".", "..", "/", "folder", "folder/.."])
@pytest.mark.parametrize("option", COMMANDS)
def test_a_folder_is_no_file_to_write(condensa, tmp_path, option, name):
    (tmp_path / "folder").mkdir()

    answer = condensa(*COMMANDS[option], option, name)

    assert answer.code == 2, answer.err
    assert "is a folder" in answer.err
    assert "= help: name " in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("command", ["unpack", "engine"])
def test_a_model_is_written_to_a_file(condensa, command):
    answer = condensa(command, "m.onnx", "--out", ".", "--force")

    assert (answer.code, "--out needs the name of a file" in answer.err) == (2, True), answer.err


@pytest.mark.parametrize("option", ["--html", "--junit", "--markdown", "--save-baseline"])
def test_a_file_that_holds_something_else_is_not_replaced(condensa, tmp_path, option):
    (tmp_path / "mine").write_text("three years of work")

    answer = condensa(*COMMANDS[option], option, "mine")

    assert (answer.code, "would replace mine" in answer.err) == (2, True), answer.err
    assert (tmp_path / "mine").read_text() == "three years of work"
