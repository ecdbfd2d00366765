"""docs/recipe.md: the page of all keys, as the command writes it, with examples that a recipe can take."""

import json
import re
from pathlib import Path

import pytest

from condensa_core.recipe.meanings import MEANINGS
from condensa_core.recipe.schema import keys_of

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"
EXAMPLES = dict(re.findall(r"^## (\w+)$.*?^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))
REST = {
    "condensa": "condensa: 1\n",
    "model": "model: {builtin: small-cnn}\n",
    "data": "data: {builtin: digits}\n",
    "layers": "layers: [{match: all, scheme: {filter: {sparsity: $sparsity}}}]\n",
    "constraint": "constraint: {metric: top1, max_drop: 2pp}\n",
    "objective": "objective: {minimize: macs}\n",
    "knobs": "knobs: {sparsity: {range: [0.0, 0.9]}}\n",
}
USED_IN = {  # what names the things that these sections declare
    "vars": {"compress": "compress: {finetune: {epochs: $epochs}}\n"},
    "patterns": {"layers": "layers: [{match: all, scheme: {prune: {pattern: cross, sparsity: $sparsity}}}]\n"},
    "metrics": {"constraint": "constraint: {metric: accuracy_of_five, max_drop: 2pp}\n"},
    "targets": {"objective": "objective: {maximize: throughput, on: cpu}\n"},
    "layers": {"knobs": ""},
    "keep": {"layers": "layers: [{match: conv*, scheme: {filter: {sparsity: $sparsity}}}]\n"},
}


def test_the_page_in_docs_is_what_the_command_writes(condensa):
    answer = condensa("schema", "--markdown")

    assert answer.code == 0
    assert answer.out == PAGE.read_text(encoding="utf-8"), "run: condensa schema --markdown > docs/recipe.md"


def test_only_recipes_have_a_page(condensa):
    answer = condensa("schema", "bench", "--markdown")

    assert answer.code == 2
    assert "no page" in answer.err


@pytest.mark.parametrize("section", EXAMPLES)
def test_an_example_of_the_page_is_a_section_that_check_accepts(section, condensa, tmp_path):
    (tmp_path / "patterns.py").write_text("def cross(shape):\n    raise NotImplementedError\n", encoding="utf-8")
    recipe = tmp_path / "example.yaml"
    parts = {**REST, **USED_IN.get(section, {}), section: EXAMPLES[section]}
    recipe.write_text("".join(parts.values()), encoding="utf-8")

    answer = condensa("check", str(recipe), "--json")

    assert answer.code == 0, answer.out
    assert not re.search(r'"code": ?"[EW]', answer.out), answer.out


def test_every_section_that_holds_more_than_a_word_has_an_example():
    assert set(EXAMPLES) == set(MEANINGS["Recipe"]) - {"condensa", "name", "description", "seed", "task"}


def test_every_key_is_explained_and_nothing_else(condensa):
    schema = json.loads(condensa("schema").out)
    keys = {name: set(keys_of(part)) for name, part in schema["$defs"].items() if name != "Reference"}

    assert {name: set(told) for name, told in MEANINGS.items()} == {"Recipe": set(schema["properties"]), **keys}
    page = PAGE.read_text(encoding="utf-8")
    for told in MEANINGS.values():
        for key, meaning in told.items():
            assert f"| `{key}` | {meaning} |" in page
