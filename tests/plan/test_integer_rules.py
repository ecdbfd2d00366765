"""Rules with activations: which parameters' layers compute in integers, and what is said of layers that cannot."""

import pytest
import torch
from torch import nn

from condensa_core.errors import PlanError
from condensa_core.graph import analyse
from condensa_core.plan import bind
from condensa_core.recipe import read_recipe_text

HEAD = """\
condensa: 1
name: net
model: {builtin: small-cnn}
data: {builtin: digits}
constraint: {metric: top1, max_drop: 2pp}
objective: {maximize: throughput}
layers:
"""
INT8 = "{quantize: {dtype: int8, granularity: channel, activations: int8}}"


class Reader(nn.Module):
    """An embedding, a recurrent layer and a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.memory = nn.GRU(6, 5, batch_first=True)
        self.fc = nn.Linear(5, 3)

    def forward(self, tokens):
        return self.fc(self.memory(self.embedding(tokens))[0])


@pytest.fixture(scope="module")
def net():
    model = Reader().eval()
    return model, analyse(model, (torch.zeros(2, 4, dtype=torch.int64),))


def bound(net, *rules):
    return bind(read_recipe_text(HEAD + "".join(f"  - {rule}\n" for rule in rules), "r.yaml"), *net)


def test_parameters_of_the_rule_have_its_observer(net):
    plan = bound(net, f"{{match: fc, scheme: {INT8}}}", "{match: embedding, scheme: {quantize: {dtype: int8}}}")

    assert plan.observers({}) == {"fc.weight": "mse"}
    assert plan.rows()[0]["scheme"] == "quantize int8 granularity channel activations int8 mse"
    assert "activations" not in plan.rows()[1]["scheme"]
    assert plan.problems == ()


def test_under_a_pattern_layers_without_integer_kernels_are_told(net):
    (problem,) = bound(net, f"{{match: all, scheme: {INT8}}}").problems

    assert problem.code == "W215" and problem.place.line == 8
    assert problem.message == (
        "2 layers of this rule will compute in floating point: 'embedding' (Embedding) has no kernel in integers"
    )


@pytest.mark.parametrize("rule", ["match: [memory, fc]", "match: all, except: {match: fc}", "match: memory"])
def test_naming_such_a_layer_or_nothing_else_is_refused(net, rule):
    with pytest.raises(PlanError) as refused:
        bound(net, f"{{{rule}, scheme: {INT8}}}")

    (problem,) = refused.value.problems
    assert problem.code == "E215" and "has no kernel in integers" in problem.message
    assert "convolutions and linear layers" in problem.help[0]
