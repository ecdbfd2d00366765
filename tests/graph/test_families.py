"""Which channels are found to belong together, against what one reads off the model by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from condensa_core.errors import WorkloadError
from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, masked, shrink

IMAGES = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)


@torch.library.custom_op("condensa_test::swap_halves", mutates_args=())
def swap_halves(x: torch.Tensor) -> torch.Tensor:
    """An operator nobody has a rule for; it is not pointwise along the channels."""
    return x.roll(x.shape[1] // 2, 1).clone()


@swap_halves.register_fake
def _(x):
    return torch.empty_like(x)


def members(family):
    return {(m.name, m.dim): (m.index.tolist(), m.side) for m in family.members}


def test_convolution_norm_and_flattened_linear_give_one_unit_per_filter():
    # given a 4 x 4 map in front of the linear layer
    model = nn.Sequential(nn.Conv2d(3, 5, 5), nn.BatchNorm2d(5), nn.Sigmoid(), nn.Flatten(), nn.Linear(5 * 16, 4))

    graph = analyse(model, IMAGES)

    (family,) = graph.families
    singles = [[unit] for unit in range(5)]
    assert (family.name, family.size, family.layers) == ("0", 5, ("0",))
    assert members(family) == {
        ("0.weight", 0): (singles, "produces"),
        ("0.bias", 0): (singles, "follows"),
        ("1.weight", 0): (singles, "follows"),
        ("1.bias", 0): (singles, "follows"),
        ("1.running_mean", 0): (singles, "follows"),
        ("1.running_var", 0): (singles, "follows"),
        ("4.weight", 1): ([list(range(16 * unit, 16 * unit + 16)) for unit in range(5)], "consumes"),
    }
    assert [(f.layer, f.reason, f.operator) for f in graph.frozen] == [("4", "is part of the model's output", None)]


def test_a_residual_stream_is_one_family_of_all_that_write_to_it():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.inner = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 4, 1)
            self.outer, self.head = nn.Conv2d(4, 6, 1), nn.Linear(6, 2)

        def forward(self, x):
            x = self.stem(x)
            x = x + self.outer(self.inner(x))
            return self.head(x.mean((2, 3)))

    graph = analyse(Model(), IMAGES)

    assert {family.name: family.layers for family in graph.families} == {
        "stem": ("stem", "outer"),
        "inner": ("inner",),
    }
    sides = {(m.name, m.dim): m.side for m in graph.family("stem").members}
    assert sides["inner.weight", 1] == sides["head.weight", 1] == "consumes"


def test_channels_with_different_fates_form_different_families_of_one_layer():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 1), nn.Conv2d(6, 6, 1)
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            joined = torch.cat([self.a(x), self.b(x)], 1)
            return self.head((joined + self.c(joined)).mean((2, 3)))

    graph = analyse(Model(), IMAGES)

    assert {family.name: (family.size, family.layers) for family in graph.families} == {
        "a": (4, ("a", "c")),
        "b": (2, ("b", "c")),
    }


def test_an_unknown_operator_freezes_exactly_the_channels_through_it():
    class Odd(nn.Module):
        def forward(self, x):
            return swap_halves(x)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.free, self.through, self.odd = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1), Odd()
            self.beside, self.after, self.head = nn.Conv2d(6, 5, 1), nn.Conv2d(9, 7, 1), nn.Linear(7, 2)

        def forward(self, x):
            x = F.relu(self.free(x))
            x = torch.cat([self.odd(self.through(x)), self.beside(x)], 1)
            return self.head(torch.sigmoid(self.after(x)).mean((2, 3)))

    torch.manual_seed(0)
    model = Model().eval()

    graph = analyse(model, IMAGES)

    assert [family.name for family in graph.families] == ["free", "beside", "after"]
    assert graph.unknown_operators == {"condensa_test.swap_halves.default": "odd"}
    assert [(f.layer, f.operator) for f in graph.frozen] == [
        ("through", "condensa_test.swap_halves.default"),
        ("head", None),
    ]
    keep = {family.name: np.arange(family.size) == 1 for family in graph.families}
    assert check_equivalence(masked(model, graph, keep), shrink(model, graph, keep), IMAGES) <= 1e-10


def test_layers_that_only_an_unknown_operator_reads_are_listed():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.mix = nn.Conv2d(3, 6, 1), nn.Bilinear(6, 6, 5)

        def forward(self, x):
            x = self.a(x).mean((2, 3))
            return self.mix(x, x)

    graph = analyse(Model(), IMAGES)

    assert graph.families == ()
    assert {f.layer: f.operator for f in graph.frozen} == {
        "a": "aten.bilinear.default",
        "mix": "aten.bilinear.default",
    }
    assert graph.unknown_operators == {"aten.bilinear.default": "mix"}


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x.sigmoid().sum(1, keepdim=True) * x,
        lambda x: x.amax(1, keepdim=True) * x,
        lambda x: x.softmax(1),
        lambda x: x.roll(1, 1),
        lambda x: x[:, ::2].repeat_interleave(2, 1),
        lambda x: x @ x.sigmoid().transpose(1, 3).reshape(2, 6, 8, 8),
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: x + torch.arange(6.0)[:, None, None],
        lambda x: x.view(2, 6 * 8, 8).cumsum(1).view(2, 6, 8, 8),
        lambda x: F.pad(x.flatten(2).mT, (1, 0), mode="replicate")[..., 1:].mT.reshape(2, 6, 8, 8),
    ],
    ids=["sum", "max", "softmax", "roll", "strided", "product", "layer_norm", "constant", "merged", "mirrored"],
)
def test_what_mixes_channels_freezes_them_and_nothing_else(mix):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.head = (
                nn.Conv2d(3, 5, 1),
                nn.Conv2d(5, 6, 1),
                nn.Conv2d(6, 7, 1),
                nn.Linear(7, 2),
            )

        def forward(self, x):
            return self.head(self.c(mix(self.b(self.a(x)))).mean((2, 3)))

    graph = analyse(Model(), IMAGES)

    assert {frozen.layer for frozen in graph.frozen} == {"b", "head"}
    assert [family.name for family in graph.families] == ["a", "c"]


def test_weights_that_are_computed_are_not_consumers():
    # exp(0) = 1: a zeroed column of this weight would still read its channel, which is not zero either
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Conv2d(3, 6, 1), nn.Linear(6, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(F.linear(self.a(x).sigmoid().mean((2, 3)), self.b.weight.exp()))

    graph = analyse(Model(), IMAGES)

    assert [family.name for family in graph.families] == ["b"]
    assert {f.layer for f in graph.frozen} == {"a", "head"}


def test_unused_parameters_are_no_channels():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.unused, self.head = nn.Conv2d(3, 6, 1), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.a(x).mean((2, 3)))

    graph = analyse(Model(), IMAGES)

    assert [family.name for family in graph.families] == ["a"]
    assert all("unused" not in member.name for family in graph.families for member in family.members)


def test_tied_weights_are_one_tensor_under_its_first_name():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.mix, self.out = nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 9, bias=False)
            self.out.weight = self.words.weight

        def forward(self, tokens):
            x = self.words(tokens)
            return self.out(x + self.mix(x).relu())

    graph = analyse(Model(), (torch.randint(0, 9, (2, 4)),))

    (family,) = graph.families
    assert family.layers == ("words", "mix")
    assert graph.aliases == {"out.weight": "words.weight"}
    assert [(m.name, m.dim) for m in family.members if m.name == "words.weight"] == [("words.weight", 1)]


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 2))
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    analyse(model, IMAGES)

    assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def test_a_model_that_cannot_be_exported_is_refused_with_the_reason():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3)

        def forward(self, x):
            return self.a(x) if x.sum() > 0 else x

    with pytest.raises(
        WorkloadError, match=r"cannot capture Branching at test_families.py:\d+: .*data-dependent.*torch\.where"
    ):
        analyse(Branching(), (torch.randn(2, 3),))


def test_an_input_that_does_not_fit_is_refused_with_its_shape():
    with pytest.raises(WorkloadError, match=r"Linear does not run on an example input of shape \(2, 4\)"):
        analyse(nn.Linear(3, 3), (torch.randn(2, 4),))


def test_a_depthwise_layer_that_loses_nothing_says_why() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8))
    graph = analyse(model.eval(), IMAGES)
    assert graph.families == ()
    assert [frozen.layer for frozen in graph.frozen] == ["0", "1"]
    assert len({frozen.reason for frozen in graph.frozen}) == 1


class Mixed(nn.Module):
    def __init__(self, mix):
        super().__init__()
        self.a, self.head, self.mix = nn.Conv2d(3, 6, 1), nn.Linear(6, 2), mix
        self.same = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.head(self.mix(self, x, self.a(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("mix", "layer", "reason"),
    [
        (lambda own, x, y: own.a(own.same(x) + x), "same", "is combined with the model's input"),
        (lambda own, x, y: own.a(own.same(x) * (2 * x).tanh()), "same", "is combined with the model's input"),
        (lambda own, x, y: y[:, ::2].repeat_interleave(2, 1), "a", "is left out in part, in steps"),
        (lambda own, x, y: y.roll(1, 1), "a", "is put in another order"),
    ],
)
def test_the_reason_says_what_happens_to_the_channels_and_where(mix, layer, reason):
    found = {frozen.layer: frozen for frozen in analyse(Mixed(mix), IMAGES).frozen}

    assert found[layer].reason == reason
    assert found[layer].line.startswith("test_families.py:")


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_units_of_recurrent_layers_are_called_hidden_units(kind):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = kind(4, 6, batch_first=True), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    (family,) = analyse(Model(), (torch.randn(2, 5, 4),)).families

    assert (family.size, family.unit) == (6, "hidden unit")
