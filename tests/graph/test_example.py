"""What `analyse` takes as an example, how many samples it has, and forwards that take theirs as `*args`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from condensa_core.errors import UsageError, WorkloadError
from condensa_core.graph import analyse, count_macs
from condensa_core.materialise import deliver


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(6, 12), nn.Linear(12, 3)
        self.layer = nn.TransformerEncoderLayer(12, 3, 10, batch_first=True)

    def forward(self, x):
        return self.head(self.layer(self.embed(x)).mean(1))


class Gathering(Plain):
    def forward(self, *args):
        return super().forward(*args)


class Added(Plain):
    def forward(self, x, *others):
        return super().forward(x + others[0])


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.b(self.a(x).relu())


def build(cls):
    torch.manual_seed(0)
    return cls().eval()


@pytest.mark.parametrize("cls", [Gathering, Added])
def test_a_forward_of_any_number_of_inputs_is_captured_for_every_batch_size(cls):
    x = torch.randn(2, 5, 6)
    inputs = (x,) if cls is Gathering else (x, x.clone())
    plain, model = analyse(build(Plain), (x,)), build(cls)

    graph = analyse(model, inputs)

    assert [(f.name, f.size, f.unit, f.layers) for f in graph.families] == [
        (f.name, f.size, f.unit, f.layers) for f in plain.families
    ]
    assert {f.unit for f in graph.families} == {"channel", "head"}
    delivered = deliver(model, graph, {f.name: np.arange(f.size) > 0 for f in graph.families}, inputs)
    assert delivered.route == "program"
    assert delivered.model(*(torch.randn(5, 5, 6) for _ in inputs)).shape == (5, 3)


@pytest.mark.parametrize("samples", [0, 1])
def test_fewer_than_two_samples_are_refused(samples):
    with pytest.raises(UsageError, match=rf"at least 2 samples along dimension 0, got {samples}.*torch\.cat"):
        analyse(Small(), (torch.randn(samples, 4),))


def test_a_model_without_a_batch_may_have_an_input_of_size_one():
    class Fixed(Small):
        def forward(self, x):
            return super().forward(x.view(4))

    assert [family.name for family in analyse(Fixed(), (torch.randn(1, 4),)).families] == ["a"]


def test_a_list_of_tensors_is_taken_as_a_tuple():
    x = torch.randn(2, 4)

    graph = analyse(Small(), [x])

    assert deliver(Small(), graph, {"a": np.arange(6) > 2}, [x]).route == "module"


@pytest.mark.parametrize("use", [analyse, count_macs])
@pytest.mark.parametrize(
    ("given", "error", "complaint"),
    [
        (torch.randn(2, 4), UsageError, r"tuple of tensors.*got a single tensor; write \(x,\)"),
        ({"x": torch.randn(2, 4)}, UsageError, "tuple of tensors.*got a dict"),
        (("x",), WorkloadError, "no tensor, but a str"),
    ],
)
def test_anything_else_is_refused(use, given, error, complaint):
    with pytest.raises(error, match=complaint):
        use(Small(), given)
