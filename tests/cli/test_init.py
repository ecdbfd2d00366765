"""`init` writes a recipe that passes `check`, and never takes a file away."""

from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(path.stem for path in RECIPES.glob("*.yaml"))


def test_the_default_is_the_embedded_example(condensa, tmp_path):
    answer = condensa("init")

    written = tmp_path / "digits-filters.yaml"
    assert (answer.code, answer.out) == (0, "digits-filters.yaml\n")
    assert written.read_text() == (RECIPES / "digits-filters.yaml").read_text()
    assert "condensa run digits-filters.yaml" in answer.err


@pytest.mark.parametrize("name", SHIPPED)
def test_every_template_passes_check_and_has_comments(condensa, name, tmp_path):
    file = tmp_path / "new.yaml"

    assert condensa("init", name, "--out", file).code == 0
    assert condensa("check", file).code == 0
    assert "#" in file.read_text()


def test_an_existing_file_is_kept(condensa, tmp_path):
    file = tmp_path / "digits-filters.yaml"
    file.write_text("mine")

    answer = condensa("init")

    assert answer.code == 2
    assert "exists and is kept" in answer.err
    assert file.read_text() == "mine"


def test_the_list_names_every_template_and_writes_nothing(condensa, tmp_path):
    answer = condensa("init", "--list")

    assert [line.split()[0] for line in answer.out.splitlines()] == SHIPPED
    assert all(line[-1] in ".?" for line in answer.out.splitlines())  # sentences, whole
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_made(condensa, tmp_path):
    answer = condensa("init", "--out", "missing/deeper/new.yaml")

    assert (answer.code, answer.out) == (0, "missing/deeper/new.yaml\n")
    assert (tmp_path / "missing" / "deeper" / "new.yaml").read_text() == (RECIPES / "digits-filters.yaml").read_text()


def test_a_folder_in_the_place_of_the_file_is_refused_with_a_name_that_works(condensa, tmp_path):
    (tmp_path / "recipes").mkdir()

    answer = condensa("init", "--out", "recipes")

    assert answer.code == 2
    assert "error: recipes is a folder" in answer.err
    assert "--out recipes/digits-filters.yaml" in answer.err


@pytest.mark.parametrize("path", ["mine/new.yaml", "mine/deeper/new.yaml"])
def test_a_file_in_the_place_of_a_folder_is_refused(condensa, tmp_path, path):
    (tmp_path / "mine").write_text("mine")

    answer = condensa("init", "--out", path)

    assert answer.code == 2
    assert answer.err.startswith(f"error: {path} cannot be written: mine is no folder\n")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_disk_that_refuses_is_the_machines_fault(condensa):
    answer = condensa("init", "--out", "/proc/new.yaml")

    assert answer.code == 3
    assert "/proc/new.yaml cannot be written" in answer.err
