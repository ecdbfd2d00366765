"""The example of docs/own-model.md is one that condensa takes."""

import re
from pathlib import Path

from condensa_core.flow.workbench import bound
from condensa_core.recipe import read_recipe

PAGE = Path(__file__).parents[2] / "docs" / "own-model.md"


def test_the_example_is_taken(tmp_path):
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for name, text in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")

    found = bound(read_recipe(tmp_path / "r.yaml"))

    assert [name for name, _ in blocks] == ["own.py", "r.yaml"]
    assert (found.splits.classes, found.splits.train.count) == (3, 2000)
    assert found.plan.space.names
