"""Whole branches go: the program without one is the model with its last layer at zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from condensa_core.errors import SchemeError
from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, cut_program, deliver, masked
from condensa_core.workload import zoo_model

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def resnet():
    torch.manual_seed(0)
    model = zoo_model("resnet20", 10, (3, 16, 16), {})
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
    return model.eval()


class Block(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 3, batch_first=True)
        self.norm2, self.mlp = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 20), nn.GELU(), nn.Linear(20, width))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.blocks, self.head = nn.Linear(5, 12), nn.Sequential(Block(), Block()), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean(1))


def transformer():
    torch.manual_seed(0)
    return Transformer().eval()


@pytest.mark.parametrize(
    ("make", "example"), [(resnet, IMAGES), (transformer, torch.randn(2, 7, 5))], ids=["resnet", "transformer"]
)
def test_every_branch_alone_all_together_and_with_channels(make, example):
    model = make()
    graph = analyse(model, (example,))
    names = [branch.name for branch in graph.branches]
    half = {family.name: torch.arange(family.size).numpy() % 2 == 0 for family in graph.families}

    one_each = list({branch.addition: branch.name for branch in graph.branches}.values())
    for gone in [[name] for name in names] + [one_each]:
        small = cut_program(model, graph, {}, gone)
        assert check_equivalence(masked(model, graph, {}, gone), small, (example,)) <= 1e-10
        left = {name.rpartition(".")[0] for name, _ in small.named_parameters()}
        assert left.isdisjoint(layer for name in gone for layer in graph.branch(name).layers)
    assert deliver(model, graph, half, (example,), without=names[:1]).error <= 1e-10


def test_the_branches_of_a_resnet_are_its_blocks():
    graph = analyse(resnet(), (IMAGES,))

    inner = [branch for branch in graph.branches if not any("shortcut" in layer for layer in branch.layers)]
    assert len(inner) == 9  # 3 stages of 3 blocks
    assert all(len(branch.layers) == 4 for branch in inner)  # two convolutions with their norms


def test_the_branches_of_a_transformer_are_its_sublayers():
    graph = analyse(transformer(), (torch.randn(2, 7, 5),))

    assert [branch.name for branch in graph.branches] == [
        "blocks.0.attention", "blocks.0.mlp", "blocks.1.attention", "blocks.1.mlp",
    ]  # fmt: skip
    assert graph.branch("blocks.0.attention").layers[0] == "blocks.0.norm1"


def test_a_stream_that_is_written_to_in_place_is_not_spoiled():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(8, 2)

        def forward(self, x):
            x = self.a(x)
            y = (x + self.b(x)).relu_()
            return self.head(torch.cat([x, y], 1))

    model = Model().eval()
    graph = analyse(model, (torch.randn(3, 5),))

    (branch,) = [branch for branch in graph.branches if branch.layers == ("b",)]
    small = cut_program(model, graph, {}, [branch.name])

    assert check_equivalence(masked(model, graph, {}, [branch.name]), small, (torch.randn(3, 5),)) <= 1e-10


def test_both_operands_of_an_addition_cannot_go():
    model = nn.Sequential(Block())
    parallel = nn.ModuleDict({"a": nn.Linear(12, 12), "b": nn.Linear(12, 12)})
    model.forward = lambda x: parallel["a"](x) + parallel["b"](x)
    model.parallel = parallel
    graph = analyse(model.eval(), (torch.randn(2, 12),))

    assert [branch.layers for branch in graph.branches] == [("parallel.a",), ("parallel.b",)]
    with pytest.raises(SchemeError, match="all that one addition adds"):
        cut_program(model, graph, {}, [branch.name for branch in graph.branches])
    with pytest.raises(SchemeError, match="no branch 'nowhere'"):
        cut_program(model, graph, {}, ["nowhere"])


def test_a_layer_that_is_read_elsewhere_too_is_no_branch():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.a(x) + self.b(self.a(x).relu())

    graph = analyse(Model(), (torch.randn(2, 4),))

    assert [branch.layers for branch in graph.branches] == [("b",)]
