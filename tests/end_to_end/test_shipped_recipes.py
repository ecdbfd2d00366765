"""Every recipe that ships reads without a complaint and binds to its model, data at hand or not."""

from pathlib import Path

import pytest

from condensa_core import flow
from condensa_core.recipe import check_recipe, read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_is_clean_and_its_plan_covers_every_convolution(path):
    assert check_recipe(path) == ()

    report = flow.plan(read_recipe(path)).to_json()

    assert report["problems"] == [] and report["families"] > 0
    assert sum(row["layers"] for row in report["rows"]) > 0
    convolutions = [layer for layer in flow.inspect_recipe(read_recipe(path))["layers"] if layer["type"] == "Conv2d"]
    kept = [name for name in report["kept"] if any(name == layer["name"] for layer in convolutions)]
    assert sum(row["layers"] for row in report["rows"]) >= len(convolutions) - len(kept)
