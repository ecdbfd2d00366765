"""Layers made two compute what their products do, to 1e-10 in float64, in modules and in captured programs."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from condensa_core.errors import NotEquivalent, SchemeError
from condensa_core.graph import analyse
from condensa_core.materialise import Program, check_equivalence, cut_program, factored
from condensa_core.schemes import Factors, LowRank, Target
from condensa_core.schemes.matrix_view import view_of


def factors_of(model, rank, convolution="output", names=None):
    """Random factors, unrelated to the model's weights: what the layers compute must come from them."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, weight in model.named_parameters():
        if name in names if names is not None else weight.ndim > 1:
            view = view_of(tuple(weight.shape), convolution)
            left = torch.randn(view.rows, rank, generator=generator)
            made[name] = Factors(left, torch.randn(rank, view.columns, generator=generator) / 9, view)
    return made


def program_of(model, inputs):
    graph = analyse(model, inputs)
    return cut_program(
        model, graph, {family.name: torch.ones(family.size, dtype=torch.bool).numpy() for family in graph.families}
    )


def dense_twin(model, factors):
    """The model with the products as weights: an independent route to what is to be computed."""
    twin = copy.deepcopy(model).double()
    with torch.no_grad():
        for name, pair in factors.items():
            matrix = torch.einsum("mr,rn->mn", pair.left.double(), pair.right.double())
            twin.get_parameter(name).copy_(matrix.reshape(pair.view.laid_out).permute(pair.view.axes))
    return twin


CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(8, 12, 3),
    "bias free, strided, padded": lambda: nn.Conv2d(8, 12, 3, stride=(1, 2), padding=(2, 1), bias=False),
    "dilated, oblong": lambda: nn.Conv2d(8, 12, (3, 5), dilation=(2, 1), padding=(0, 3)),
    "same": lambda: nn.Conv2d(8, 12, (4, 3), padding="same", dilation=(1, 2)),
    "valid": lambda: nn.Conv2d(8, 12, 3, padding="valid", stride=(1, 3)),
    "grouped": lambda: nn.Conv2d(8, 32, 3, groups=2, padding=1),
    "reflected": lambda: nn.Conv2d(8, 12, 3, padding=(2, 1), padding_mode="reflect"),
    "circular": lambda: nn.Conv2d(8, 12, (3, 4), padding=(1, 2), padding_mode="circular", stride=(1, 2)),
    "replicated, grouped": lambda: nn.Conv2d(8, 32, 3, groups=2, padding=1, padding_mode="replicate"),
    "pointwise": lambda: nn.Conv2d(8, 12, 1, stride=2),
    "one axis": lambda: nn.Conv1d(8, 12, 5, stride=1, padding=2, dilation=2),
    "three axes": lambda: nn.Conv3d(8, 12, (2, 3, 3), padding=(1, 0, 1), stride=(1, 1, 2)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # of the convolution as given
@pytest.mark.parametrize("convolution", ["output", "kernel"])
@pytest.mark.parametrize("make", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
@pytest.mark.parametrize("captured", [False, True], ids=["module", "program"])
def test_two_convolutions_compute_what_their_product_does(make, convolution, captured):
    model = nn.Sequential(make(), nn.ReLU())
    axes = model[0].weight.ndim - 2
    inputs = (torch.randn(2, 8, *(9, 10, 11)[:axes]),)
    factors = factors_of(model, rank=2, convolution=convolution)
    given = program_of(model, inputs) if captured else model

    made = factored(given, factors, inputs)

    assert made.split == ("0.weight",) and not made.dense and made.error < 1e-10
    check_equivalence(dense_twin(model, factors), made.model, inputs)
    sizes = {name: tuple(p.shape) for name, p in made.model.named_parameters()}
    assert "0.weight" not in sizes
    assert sizes["0.right.weight"][0] == 2 * model[0].groups and sizes["0.left.weight"][1] == 2
    assert sum(p.numel() for p in made.model.parameters()) < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("captured", [False, True], ids=["module", "program"])
def test_linear_layers_and_embeddings_become_two(captured):
    model = nn.Sequential(nn.Embedding(20, 12, padding_idx=3), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 7, bias=False))
    inputs = (torch.randint(0, 20, (2, 5)),)
    factors = factors_of(model, rank=2)
    given = program_of(model, inputs) if captured else model

    made = factored(given, factors, inputs)

    assert made.split == ("0.weight", "1.weight", "3.weight")
    check_equivalence(dense_twin(model, factors), made.model, inputs)
    sizes = {name: tuple(p.shape) for name, p in made.model.named_parameters()}
    assert {name: sizes[name] for name in ("0.left.weight", "0.right.weight")} == {
        "0.left.weight": (20, 2),
        "0.right.weight": (12, 2),
    }
    assert sizes["1.right.weight"] == (2, 12) and sizes["1.left.weight"] == (9, 2)
    assert torch.equal(made.model.get_parameter("1.bias" if captured else "1.left.bias"), model[1].bias)
    if not captured:
        assert made.model[0].left.padding_idx == 3


def test_modes_and_requires_grad_stay_and_the_model_is_not_touched():
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10)).train()
    model[0].eval()
    model[1].weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    inputs = (torch.randn(2, 10),)
    state = torch.get_rng_state()

    made = factored(model, factors_of(model, rank=2), inputs).model

    assert not made[0].training and not made[0].left.training and made[1].right.training
    assert made[0].left.weight.requires_grad and not made[1].left.weight.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    made(torch.randn(4, 10)).sum().backward()
    assert made[0].right.weight.grad is not None and model[0].weight.grad is None


def test_a_product_that_costs_no_less_is_multiplied_out():
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 9), nn.Conv2d(4, 4, 3, groups=4))
    model.forward = lambda x: model[1](model[0](x))  # the convolution is only there to be judged
    factors = factors_of(model, rank=5)

    made = factored(model, factors, (torch.randn(2, 10),))

    assert made.split == () and list(made.dense) == list(factors)
    assert made.dense["0.weight"] == "two layers would take 100 multiplications where one takes 100"
    assert "takes 36" in made.dense["2.weight"]  # a depthwise layer has one input channel a group
    torch.testing.assert_close(made.model[0].weight, factors["0.weight"].left @ factors["0.weight"].right)


def test_a_stride_along_the_height_counts_against_the_convolution_along_the_width():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, stride=(4, 1)))  # 24 x 24 by kernel: 8 * 24 + 8 * 24 * 4 > 576
    inputs = (torch.randn(2, 8, 12, 12),)

    narrow, wide = (factored(model, factors_of(model, rank, "kernel"), inputs) for rank in (4, 8))

    assert narrow.split and "960" in wide.dense["0.weight"]


class Stubborn(nn.Module):
    """One layer for each reason to stay whole."""

    def __init__(self):
        super().__init__()
        self.attention, self.lstm = nn.MultiheadAttention(12, 2, batch_first=True), nn.LSTM(12, 12, batch_first=True)
        self.first, self.tied = nn.Linear(12, 12), nn.Linear(12, 12)
        self.tied.weight = self.first.weight
        self.mine = type("Mine", (nn.Linear,), {})(12, 12)
        self.hooked, self.read, self.sized = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.hooked.register_forward_hook(lambda module, inputs, output: output * 2)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(12, 12))
        self.own, self.plain = nn.Parameter(torch.randn(12, 12)), nn.Linear(12, 12)

    def forward(self, x):
        x = self.lstm(self.attention(x, x, x)[0])[0]
        x = self.tied(F.relu(self.first(x)))
        x = self.normed(self.hooked(self.mine(x))) @ self.own
        x = F.linear(x, self.read.weight) + self.read(x)
        return self.plain(self.sized(x)).view(-1, self.sized.out_features)


def test_layers_that_cannot_be_two_keep_the_product():
    model, inputs = Stubborn(), (torch.randn(2, 3, 12),)
    names = [n for n, p in model.named_parameters() if p.shape in ((12, 12), (36, 12), (48, 12)) and "normed" not in n]
    factors = factors_of(model, rank=2, names=names)

    made = factored(model, factors, inputs)

    assert made.split == ("plain.weight",)
    check_equivalence(dense_twin(model, factors), made.model, inputs, tolerance=1e-5)  # the products are rounded
    reasons = {name.partition(".")[0]: why for name, why in made.dense.items()}
    assert "MultiheadAttention" in made.dense["attention.in_proj_weight"]
    assert "NonDynamically" in made.dense["attention.out_proj.weight"]
    assert "LSTM" in reasons["lstm"] and "tied" in reasons["first"] and "Mine" in reasons["mine"]
    assert "hooks" in reasons["hooked"] and "reads" in reasons["read"] and "reads" in reasons["sized"]
    assert "Stubborn" in reasons["own"]


def test_a_parametrised_layer_stays_whole():
    model = nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(8, 8)), nn.Linear(8, 8))
    name = "0.parametrizations.weight.original"

    made = factored(model, factors_of(model, rank=1, names=[name]), (torch.randn(2, 8),))

    assert "Parametrization" in made.dense[name]


def test_the_fused_encoder_layer_runs_on_two_layers():
    model = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True).eval()
    inputs = (torch.randn(2, 5, 16),)
    factors = factors_of(model, rank=3, names=["linear1.weight", "linear2.weight"])

    made = factored(model, factors, inputs)

    assert made.split == ("linear1.weight", "linear2.weight")
    with torch.no_grad():  # the fused operator
        torch.testing.assert_close(made.model(*inputs), dense_twin(model, factors).float()(*inputs))
    made.model.train()(*inputs).sum().backward()
    assert made.model.linear1.right.weight.grad is not None


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = self.b = nn.Linear(10, 10)

    def forward(self, x):
        return self.b(F.relu(self.a(x)))


@pytest.mark.parametrize("captured", [False, True], ids=["module", "program"])
def test_a_shared_layer_stays_shared(captured):
    model, inputs = Shared(), (torch.randn(2, 10),)
    factors = factors_of(model, rank=2)
    given = program_of(model, inputs) if captured else model

    made = factored(given, factors, inputs)

    check_equivalence(dense_twin(model, factors), made.model, inputs)
    assert len(list(made.model.parameters())) == 3
    assert captured or made.model.a is made.model.b


class TiedHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(20, 12), nn.Linear(12, 20, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens):
        return self.head(self.table(tokens))


@pytest.mark.parametrize("captured", [False, True], ids=["module", "program"])
def test_a_table_that_is_also_the_head_keeps_the_product_and_stays_tied(captured):
    model, inputs = TiedHead(), (torch.randint(0, 20, (2, 5)),)
    factors = factors_of(model, rank=2)
    given = program_of(model, inputs) if captured else model

    made = factored(given, factors, inputs)

    assert list(made.dense) == ["table.weight"] and len(list(made.model.parameters())) == 1
    check_equivalence(dense_twin(model, factors), made.model, inputs, tolerance=1e-6)


def test_a_program_keeps_what_it_cannot_split():
    inputs = (torch.randn(2, 4, 10),)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(10, 10, batch_first=True), nn.Linear(10, 10)
            self.own, self.odd = nn.Parameter(torch.randn(10, 10)), nn.Parameter(torch.randn(10, 10))

        def forward(self, x):
            return F.linear(self.odd, (self.head(self.lstm(x)[0]) @ self.own)[0])  # the weight is what is read

    net = Net()
    factors = factors_of(net, rank=2)

    made = factored(program_of(net, inputs), factors, inputs)

    assert isinstance(made.model, Program) and made.split == ("head.weight",)
    assert "lstm" in made.dense["lstm.weight_hh_l0"] and "matmul" in made.dense["own"]
    assert "linear" in made.dense["odd"]
    again = copy.deepcopy(made.model).double()
    assert again.get_parameter("head.right.weight").dtype == torch.float64


def test_factors_of_a_projection_make_the_layers():
    model, inputs = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(16 * 16, 10)), (torch.randn(2, 8, 6, 6),)
    weights = {n: p.detach() for n, p in model.named_parameters() if p.ndim > 1}
    code = LowRank(rank=3, convolution="kernel").project(Target(weights))

    made = factored(model, code.factors, inputs)

    assert made.split == tuple(weights)
    twin = copy.deepcopy(model)
    twin.load_state_dict({**model.state_dict(), **code.decode()})
    check_equivalence(twin, made.model, inputs, tolerance=1e-6)


def test_wrong_factors_are_refused():
    model, inputs = nn.Sequential(nn.Linear(10, 8), nn.Linear(8, 8)), (torch.randn(2, 10),)
    factors = factors_of(model, rank=1)

    with pytest.raises(SchemeError, match=r"factors make 1.weight of shape \(8, 10\), which is \(8, 8\)"):
        factored(model, {"1.weight": factors["0.weight"]}, inputs)
    with pytest.raises(SchemeError, match="no parameter"):
        factored(model, {"2.weight": factors["0.weight"]}, inputs)


def test_a_split_that_computes_something_else_is_refused(monkeypatch):
    model, inputs = nn.Sequential(nn.Conv2d(8, 12, 3)), (torch.randn(2, 8, 6, 6),)
    right_way = Factors.dense
    monkeypatch.setattr(Factors, "dense", lambda self: right_way(self) * (1 + 1e-9))

    with pytest.raises(NotEquivalent):
        factored(model, factors_of(model, rank=2), inputs)


def test_a_layer_alone_and_rank_zero_stay():
    alone, inputs = nn.Linear(10, 10), (torch.randn(2, 10),)

    assert "alone" in factored(alone, factors_of(alone, rank=1), inputs).dense["weight"]
    model = nn.Sequential(alone)
    made = factored(model, factors_of(model, rank=0), inputs)
    assert made.dense == {"0.weight": "its rank is 0"} and not made.model[0].weight.any()
