"""`condensa schemes`: the list, and the page of the documentation that is made from it."""

import json
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "schemes.md"


def test_the_page_in_docs_is_what_the_command_writes(condensa):
    answer = condensa("schemes", "--markdown")

    assert answer.code == 0
    assert answer.out == PAGE.read_text(encoding="utf-8"), "run: condensa schemes --markdown > docs/schemes.md"


def test_every_kind_that_a_recipe_takes_is_explained(condensa):
    records = {r["name"]: r for r in json.loads(condensa("schemes", "--json").out)["schemes"]}

    from condensa_core.recipe import SchemeSpec

    assert set(SchemeSpec.model_fields) <= set(records)
    for record in records.values():
        assert record["about"] and record["file"] and record["speed"] and record["source"]
    assert records["codebook"]["example"]["bits_per_weight"] < 2.01  # 4 entries: 2 bits, and the book
    assert records["prune"]["settings"]["norm"] == "l0"
