"""`--warm-start` on a recipe or a folder that it cannot be about: refused before anything is loaded."""

import sys

import pytest
from tiny_recipe import tiny

from condensa_core.recipe import recipe_from, resolved_yaml

LATE = {"match": "fc", "scheme": {"prune": {"sparsity": "$late"}}}
TWO = {
    "layers": [*tiny()["layers"], LATE],
    "knobs": {"s": {"range": [0.0, 0.9]}, "late": {"range": [0.0, 0.9]}},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (TWO, "--warm-start needs a recipe with one knob, and this one has 2: s, late"),
        ({}, "--warm-start: there is no run directory"),
    ],
)
def test_a_warm_start_that_cannot_be_is_refused_before_anything_is_loaded(
    condensa, tmp_path, monkeypatch, changes, said
):
    file = tmp_path / "recipe.yaml"
    file.write_text(resolved_yaml(recipe_from(tiny(**changes))), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "condensa_core.flow", None)  # importing it would raise

    answer = condensa("run", file, "--warm-start", tmp_path / "nonsense")

    assert answer.code == 2
    assert said in " ".join(answer.err.split())
