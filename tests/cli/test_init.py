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
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_the_machines_fault(condensa):
    answer = condensa("init", "--out", "missing/new.yaml")

    assert answer.code == 3
    assert "missing/new.yaml cannot be written" in answer.err
