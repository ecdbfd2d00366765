"""`condensa ablate`: the table, the document, the refusals."""

import json

import pytest
from tiny_recipe import tiny

from condensa_core.recipe import recipe_from, resolved_yaml


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("CONDENSA_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "small.yaml"
    file.write_text(resolved_yaml(recipe_from(tiny(compress={"method": "direct"}))), encoding="utf-8")
    return file


def test_it_shows_a_row_per_strategy_and_then_the_document(condensa, small):
    drawn = condensa("ablate", small, "--strategies", "bisection, grid", "--trials", "2", "--quiet")
    document = json.loads(condensa("ablate", small, "--strategies", "grid", "--trials", "2", "--quiet", "--json").out)

    assert drawn.code == 0
    assert [line.split()[0] for line in drawn.out.splitlines() if line.split()[1:2] == ["2"]] == ["bisection", "grid"]
    assert "regret.svg" in drawn.out
    assert document["schema"] == "condensa.ablation/1" and document["trials"] == 2


def test_a_strategy_that_there_is_not_is_refused_before_torch_is_loaded(condensa, small, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the words were to be checked first")

    monkeypatch.setattr("condensa_core.flow.ablate", never)
    answer = condensa("ablate", small, "--strategies", "bisektion")

    assert answer.code == 2
    assert "did you mean 'bisection'" in answer.err
