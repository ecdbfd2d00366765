"""`condensa schemes`: the list, and the page of the documentation that is made from it."""

import json
import re
from pathlib import Path

import pytest

from condensa_core.recipe import read_recipe_text

PAGE = Path(__file__).parents[2] / "docs" / "schemes.md"


def test_the_page_in_docs_is_what_the_command_writes(condensa):
    answer = condensa("schemes", "--markdown")

    assert answer.code == 0
    assert answer.out == PAGE.read_text(encoding="utf-8"), "run: condensa schemes --markdown > docs/schemes.md"


@pytest.mark.parametrize("example", re.findall(r"\| `(.+?)` \|", PAGE.read_text(encoding="utf-8")))
def test_an_example_of_the_page_can_be_pasted_into_a_recipe(example):
    recipe = read_recipe_text(
        "condensa: 1\nmodel: {builtin: small-cnn}\ndata: {builtin: digits}\n"
        f"layers: [{{match: all, scheme: {{{example}}}}}]\n"
        "constraint: {metric: top1, max_drop: 2pp}\nobjective: {minimize: size.packed}\nsearch: {method: none}\n"
    )

    assert example.startswith(recipe.layers[0].scheme[0].kind)


def test_every_kind_that_a_recipe_takes_is_explained(condensa):
    records = {r["name"]: r for r in json.loads(condensa("schemes", "--json").out)["schemes"]}

    from condensa_core.recipe import SchemeSpec

    assert set(SchemeSpec.model_fields) <= set(records)
    for record in records.values():
        assert record["about"] and record["file"] and record["speed"] and record["source"]
    assert records["codebook"]["example"]["bits_per_weight"] < 2.01  # 4 entries: 2 bits, and the book
    assert records["prune"]["settings"]["norm"] == "l0"
