"""The recipes that the documents show for targets are sound, completed to whole ones."""

import re
from pathlib import Path

import pytest

from condensa_core.recipe import engine_target, read_recipe_text

DOCS = Path(__file__).parents[2] / "docs"
REST = """\
condensa: 1
model: {builtin: small-cnn}
data: {builtin: digits}
layers: [{match: all, scheme: {filter: {}}}]
constraint: {metric: top1, max_drop: 2pp}
"""


@pytest.mark.parametrize(("page", "engine"), [("runtimes.md", None), ("engines.md", "rtx")])
def test_a_documented_recipe_is_sound(page, engine):
    shown = re.search(r"```yaml\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)[1]

    recipe = read_recipe_text(REST + shown, page, DOCS)

    assert recipe.problems == () and engine_target(recipe.targets) == engine


def test_devices_and_capabilities_have_one_spelling():
    targets = "targets: {a: {backend: torch, device: gpu}, b: {backend: tensorrt-rtx, arch: [sm_86, '8.9', sm120]}}\n"
    rest = "objective: {minimize: macs}\noutput: {export: [onnx, engine]}\n"

    found = read_recipe_text(REST + targets + rest, "recipe.yaml", DOCS).targets

    assert (found["a"].device, found["b"].device) == ("cuda", "cuda")
    assert found["b"].arch == ("sm86", "sm89", "sm120")
