"""What docs/graph.md shows about adding an operator is run as it stands there, and its pointers lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from condensa_core.errors import NotEquivalent, SchemeError, UsageError
from condensa_core.graph import analyse, register_rule
from condensa_core.graph.operators import RULES
from condensa_core.graph.propagation import Propagation
from condensa_core.materialise import deliver

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "graph.md").read_text(encoding="utf-8")
PYTHON, RULE, TEST, OWN = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def example(monkeypatch):
    """The names that the second block defines; operators start without the rule of the first."""
    monkeypatch.delitem(RULES, "grid_sampler", raising=False)
    names: dict[str, object] = {}
    # no export can find the source of a class made by exec, and none needs it
    exec(compile(TEST, "docs/graph.md", "exec"), names)
    return names


def test_without_the_rule_the_operator_is_unknown_and_its_channels_stay(example):
    graph = analyse(example["Warped"](), (torch.randn(2, 3, 8, 8),))

    assert [name.split(".")[1] for name in graph.unknown_operators] == ["grid_sampler"]
    assert graph.families == ()
    with pytest.raises(SchemeError, match="'before'"):
        example["test_channels_pass_a_grid_sampler"]()


def test_with_the_rule_the_test_of_the_page_passes(example, monkeypatch):
    names: dict[str, object] = {}
    exec(compile(RULE, "docs/graph.md", "exec"), names)
    monkeypatch.setitem(RULES, "grid_sampler", names["grid_sampler"])

    example["test_channels_pass_a_grid_sampler"]()


def test_a_wrong_rule_does_not_pass_the_test_of_the_page(example, monkeypatch):
    def reversed_channels(walk, node):
        channels = walk.dims(node.args[0])[1]
        return None, type(channels)(channels.labels[::-1], channels.zero), None, None

    monkeypatch.setitem(RULES, "grid_sampler", reversed_channels)

    with pytest.raises(NotEquivalent, match="differs from the masked one"):
        example["test_channels_pass_a_grid_sampler"]()


def test_every_file_the_page_names_exists():
    named = re.findall(r"`((?:tests/)?[\w/]+\.py)`", PAGE)

    assert len(named) > 10
    for name in named:
        assert (ROOT / name).is_file() or (ROOT / "condensa_core" / name).is_file(), name


def test_every_call_the_page_lists_is_one_of_a_walk():
    listed = re.findall(r"`walk\.(\w+)\(", PAGE)

    assert len(listed) > 6
    assert all(callable(getattr(Propagation, name, None)) for name in listed)


def test_the_python_of_the_page_runs(capsys):
    exec(compile(PYTHON, "docs/graph.md", "exec"), {})

    assert "macs=" in capsys.readouterr().out


def test_an_operator_of_ones_own_is_registered(monkeypatch):
    class Mirroring(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)

        def forward(self, x):
            return self.b(torch.ops.mine.mirrored(self.a(x)))

    monkeypatch.delitem(RULES, "mine::mirrored", raising=False)
    model, images = Mirroring(), (torch.randn(2, 3, 4, 4),)

    exec(compile(OWN, "docs/graph.md", "exec"), {})
    taught = analyse(model, images)
    monkeypatch.delitem(RULES, "mine::mirrored")
    untaught = analyse(model, images)

    assert [family.name for family in taught.families] == ["a"]
    for route in ("module", "program"):
        assert deliver(model, taught, {"a": np.arange(6) > 3}, images, (route,)).route == route
    assert untaught.families == () and list(untaught.unknown_operators) == ["mine.mirrored.default"]


@pytest.mark.parametrize("name", ["mine::nowhere", "roll", "aten::nowhere", 3])
def test_only_operators_that_exist_are_registered(name):
    with pytest.raises(UsageError, match="there is no operator"):
        register_rule(name, lambda walk, node: ())


def test_a_rule_is_a_function():
    with pytest.raises(UsageError, match="function of the walk and a node, got a str"):
        register_rule("aten::roll", "section")


def test_a_rule_for_an_aten_operator_replaces_its_rule(monkeypatch):
    def refused(walk, node):
        return walk.refuse(node)

    monkeypatch.setitem(RULES, "roll", RULES["roll"])  # which is put back afterwards

    register_rule("aten::roll", refused)

    assert RULES["roll"] is refused
