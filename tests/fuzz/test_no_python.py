"""`--no-python`: in whatever place a recipe names Python, no command runs it.

The places are read off the recipe's schema: one that is new and not tried here fails a test.
"""

import json

import pytest
from condensa_cli.app import exit_code_of
from tiny_recipe import tiny

from condensa_core import __version__
from condensa_core.flow.concluding import recipe_hash
from condensa_core.flow.conditions import answers_record
from condensa_core.flow.refusing_python import require_no_python
from condensa_core.flow.same_inputs import python_record
from condensa_core.recipe import read_recipe, recipe_from, recipe_schema, resolved_yaml
from condensa_core.recipe.fields import PythonReference
from condensa_core.run_directory import manifest

MARKING = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
"""
NAMED = {"python": "own.py:thing"}
FILTER = {"filter": {"sparsity": "$s"}}
# By the record of the schema that holds the reference, and where in a recipe that record may stand.
PLACES = {
    "ModelSpec": {"model": {"model": NAMED}},
    "SourceSpec": {
        "train": {"data": {"train": NAMED, "val": NAMED}},
        "test": {"data": {"train": NAMED, "val": NAMED, "test": NAMED}},
        "calib": {"data": {"train": NAMED, "val": NAMED, "calib": NAMED}},
    },
    "PythonSpec": {
        "pattern": {
            "patterns": {"mine": NAMED},
            "layers": [{"match": "all", "scheme": {"prune": {"sparsity": 0.5, "pattern": "mine"}}}],
            "knobs": None,
        },
        "criterion": {
            "layers": [{"match": "all", "scheme": {"block": {"sparsity": "$s", "shape": [2, 2], "criterion": NAMED}}}]
        },
        "kernel": {"search": {"method": "straddle", "trials": 2, "kernel": NAMED}},
    },
}
CASES = [(name, changes) for places in PLACES.values() for name, changes in places.items()]


def records_with_python(schema):
    """The names of the schema's records that have a reference to Python among their keys."""
    pattern = PythonReference.__metadata__[-1].json_schema["pattern"]
    return {name for name, record in schema["$defs"].items() if pattern in json.dumps(record.get("properties", {}))}


def test_every_record_that_can_name_python_is_tried():
    schema = recipe_schema()

    assert records_with_python(schema) == set(PLACES)
    for record, places in PLACES.items():
        uses = json.dumps(schema).count(f'"#/$defs/{record}"')
        assert uses == len(places) + (record == "SourceSpec"), record  # train and val are tried together


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Writes a recipe that names Python, and beside it a file that leaves a mark when it is run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")

    def written(changes):
        (tmp_path / "own.py").write_text(MARKING)
        (tmp_path / "recipe.yaml").write_text(resolved_yaml(recipe_from(tiny(**changes))))

    return written


@pytest.mark.parametrize(("place", "changes"), CASES, ids=[name for name, _ in CASES])
def test_no_command_runs_python_that_is_named_there(stranger, tmp_path, capsys, place, changes):
    stranger(changes)

    for command in (["run"], ["plan"], ["plan", "--time"], ["inspect"], ["inspect", "--latency"], ["ablate"]):
        assert exit_code_of([*command, "recipe.yaml", "--no-python"]) == 2, command
        told = capsys.readouterr().err
        assert "python reference 'own.py:thing' is refused by --no-python" in told, command
    assert exit_code_of(["check", "recipe.yaml"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.py", "recipe.yaml"]

    exit_code_of(["run", "recipe.yaml"])  # and with Python the mark is left

    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(("place", "changes"), CASES, ids=[name for name, _ in CASES])
def test_a_run_begun_with_python_is_not_resumed_without(stranger, tmp_path, capsys, place, changes):
    stranger(changes)
    recipe = read_recipe(tmp_path / "recipe.yaml")
    folder = tmp_path / "begun"
    folder.mkdir()
    (folder / "resolved.yaml").write_text(resolved_yaml(recipe))
    head = manifest([], seed=3, hashes={"recipe": recipe_hash(recipe)}) | python_record(recipe)
    head |= {"condensa": __version__, "recipe_directory": str(tmp_path), "recipe_name": recipe.name}
    (folder / "manifest.json").write_text(json.dumps(head | answers_record(recipe)))

    assert exit_code_of(["resume", "begun", "--no-python"]) == 2

    assert "refused by --no-python" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_arguments_are_no_python(tmp_path):
    require_no_python(recipe_from(tiny(model={"builtin": "small-cnn", "args": {"python": "own.py:thing"}})))
