"""Operators that the table does not know: they keep the channels that pass through them, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, cut_program, masked, shrink

IMAGES = (torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)),)


@torch.library.custom_op("condensa_unknown::turned", mutates_args=())
def turned(x: Tensor) -> Tensor:
    return x.roll(1, 1) * 2


@turned.register_fake
def _(x):
    return torch.empty_like(x)


@torch.library.custom_op("condensa_unknown::turn_", mutates_args=("x",))
def turn_(x: Tensor) -> None:
    x.copy_(x.roll(1, 1))


@torch.library.custom_op("condensa_unknown::parted", mutates_args=())
def parted(x: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Sorted along the channels, in two parts: neither has the channels of `x`."""
    first, second = x.sort(1).values.split(sizes, 1)
    return first.clone(), second.clone()


@parted.register_fake
def _(x, sizes):
    first, second = x.split(sizes, 1)
    return torch.empty_like(first), torch.empty_like(second)


@torch.library.custom_op("condensa_unknown::gathered", mutates_args=())
def gathered(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, 1).flip(1)


@gathered.register_fake
def _(parts):
    return torch.cat(parts, 1)


@torch.library.custom_op("condensa_unknown::ramp", mutates_args=())
def ramp(count: int) -> Tensor:
    return torch.linspace(0.5, 1.5, count)


@ramp.register_fake
def _(count):
    return torch.empty(count)


@torch.library.custom_op("condensa_unknown::relu", mutates_args=(), tags=(torch.Tag.pointwise,))
def relu(x: Tensor) -> Tensor:
    """A pointwise operator that only shares its name with one that keeps zeros."""
    return x.sigmoid()


@relu.register_fake
def _(x):
    return torch.empty_like(x)


class Calls(nn.Module):
    """A module of the user's that runs an operator of the user's (a lambda: torch cannot copy operators)."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        out = self.call(x)
        return x if out is None else out


class Through(nn.Module):
    """before -> passing -> odd -> after, and beside it a path from `before` to `after` that avoids `odd`."""

    def __init__(self, odd):
        super().__init__()
        self.before, self.passing, self.beside = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1), nn.Conv2d(6, 5, 1)
        self.block = nn.Sequential(nn.BatchNorm2d(4), odd)
        self.after, self.end = nn.Conv2d(9, 7, 1), nn.Linear(7, 2)

    def forward(self, x):
        x = self.before(x).sigmoid()
        odd = self.block(self.passing(x))
        odd = torch.cat(odd, 1) if isinstance(odd, tuple) else odd
        return self.end(self.after(torch.cat([odd, self.beside(x)], 1)).cos().mean((2, 3)))


def built(model):
    """The model with biases and norms that show every channel that should have gone."""
    torch.manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.3, 0.9)
    return model.double().eval()


def assert_every_family_can_go(model, graph):
    inputs = tuple(x.double() for x in IMAGES)
    for names in [[f.name] for f in graph.families] + [[f.name for f in graph.families]]:
        keep = {name: np.arange(graph.family(name).size) == 1 for name in names}
        expected = masked(model, graph, keep)
        with torch.no_grad():
            assert not torch.allclose(expected(*inputs), model(*inputs))
        assert check_equivalence(expected, cut_program(model, graph, keep), IMAGES) <= 1e-10
        assert check_equivalence(expected, shrink(model, graph, keep), IMAGES) <= 1e-10


@pytest.mark.parametrize(
    ("call", "operator"),
    [
        (Calls(lambda x: turned(x)), "condensa_unknown.turned.default"),
        (Calls(lambda x: turn_(x)), "condensa_unknown.turn_.default"),
        (Calls(lambda x: parted(x, [1, 3])), "condensa_unknown.parted.default"),
        (Calls(lambda x: gathered([x[:, :2], x[:, 2:]])), "condensa_unknown.gathered.default"),
    ],
    ids=["one output", "in place", "several outputs", "a list of tensors"],
)
def test_exactly_the_channels_through_it_stay(call, operator):
    # given
    model = built(Through(call))

    # when
    graph = analyse(model, tuple(x.double() for x in IMAGES))

    # then it is named with its module and its layer's channels are frozen on its account
    assert graph.unknown_operators == {operator: "block.1"}
    assert {(f.layer, f.operator) for f in graph.frozen} == {("passing", operator), ("end", None)}
    (passing,) = (f for f in graph.frozen if f.layer == "passing")
    assert passing.reason == "passes through an operator that is not known here"
    assert passing.line.startswith("test_unknown_operators.py:")
    # and everything else can go
    assert {f.name: f.size for f in graph.families} == {"before": 6, "beside": 5, "after": 7}
    assert_every_family_can_go(model, graph)


def test_an_operator_in_place_on_a_part_keeps_that_part():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.end = nn.Conv2d(3, 8, 1), nn.Linear(8, 2)

        def forward(self, x):
            x = self.a(x)
            turn_(x[:, :4])
            return self.end(x.mean((2, 3)))

    model = built(Model())

    graph = analyse(model, tuple(x.double() for x in IMAGES))

    assert graph.unknown_operators == {"condensa_unknown.turn_.default": ""}
    (family,) = graph.families
    (rows,) = (m for m in family.members if (m.name, m.dim) == ("a.weight", 0))
    assert rows.index.tolist() == [[4], [5], [6], [7]]
    # the part is a slice of written-out bounds, which the program's own rule moves
    keep = {"a": np.array([False, True, True, False])}
    assert check_equivalence(masked(model, graph, keep), cut_program(model, graph, keep), IMAGES) <= 1e-10


@pytest.mark.parametrize("read", ["parameter", "buffer", "constant"])
def test_an_operator_that_reads_constants_fixes_what_meets_them(read):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.end = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 4, 1), nn.Linear(4, 2)
            self.odd = Calls(lambda x: turned(x))
            table = torch.rand(1, 4, 1, 1, dtype=torch.float64)
            if read == "parameter":
                self.table = nn.Parameter(table)
            elif read == "buffer":
                self.register_buffer("table", table)
            else:
                self.table = table

        def forward(self, x):
            return self.end((self.b(self.a(x)) * self.odd(self.table)).mean((2, 3)))

    model = built(Model())

    graph = analyse(model, tuple(x.double() for x in IMAGES))

    assert [f.name for f in graph.families] == ["a"]
    assert {f.layer for f in graph.frozen} >= {"b", "end"}
    assert_every_family_can_go(model, graph)


def test_an_operator_on_a_table_without_channels_stops_nothing():
    # positions along height, the same for every channel
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.end = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 4, 1), nn.Linear(4, 2)
            self.register_buffer("heights", torch.rand(4, 1, dtype=torch.float64))

        def forward(self, x):
            return self.end((self.b(self.a(x)) + turned(self.heights.T.contiguous()).T).mean((2, 3)))

    model = built(Model())

    graph = analyse(model, tuple(x.double() for x in IMAGES))

    assert [f.name for f in graph.families] == ["a", "b"]
    assert_every_family_can_go(model, graph)


def test_an_operator_that_reads_no_tensor_makes_values_of_fixed_size():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.end = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 4, 1), nn.Linear(4, 2)

        def forward(self, x):
            return self.end(self.b(self.a(x)).mean((2, 3)) * ramp(4).to(x.dtype))

    model = built(Model())

    graph = analyse(model, tuple(x.double() for x in IMAGES))

    assert [f.name for f in graph.families] == ["a"]
    assert_every_family_can_go(model, graph)


def test_a_weight_behind_an_unknown_operator_stays_whole():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 6), nn.Linear(6, 5), nn.Linear(5, 4)
            self.end = nn.Linear(4, 2)

        def forward(self, x):
            x = self.a(x.mean((2, 3)))
            return self.end(self.c(F.linear(x, turned(self.b.weight), self.b.bias).sigmoid()))

    model = built(Model())

    graph = analyse(model, tuple(x.double() for x in IMAGES))

    assert graph.unknown_operators == {"condensa_unknown.turned.default": ""}
    assert [f.name for f in graph.families] == ["c"]
    assert {f.layer for f in graph.frozen} == {"a", "b", "end"}
    assert_every_family_can_go(model, graph)


def test_a_module_that_is_run_twice_is_named_once_and_both_its_inputs_stay():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.free = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 1)
            self.odd, self.end = Calls(lambda x: turned(x)), nn.Linear(13, 2)

        def forward(self, x):
            parts = [self.odd(self.a(x)), self.odd(self.b(x)), self.free(x)]
            return self.end(torch.cat(parts, 1).mean((2, 3)))

    model = built(Model())

    graph = analyse(model, tuple(x.double() for x in IMAGES))

    assert graph.unknown_operators == {"condensa_unknown.turned.default": "odd"}
    assert {f.layer for f in graph.frozen} == {"a", "b", "end"}
    assert [f.name for f in graph.families] == ["free"]
    assert_every_family_can_go(model, graph)


def test_a_pointwise_operator_of_the_users_passes_channels_but_is_not_trusted_with_zeros():
    # its tag says that it works element by element; relu's name says nothing about what it makes of zero
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.end = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 1), nn.Linear(5, 2)

        def forward(self, x):
            x = self.b(relu(self.a(x)))
            return self.end(relu(x).mean((2, 3))) * relu(x).sum(1).mean((1, 2))[:, None]

    model = built(Model())

    graph = analyse(model, tuple(x.double() for x in IMAGES))

    assert graph.unknown_operators == {}
    assert [f.name for f in graph.families] == ["a"]
    assert_every_family_can_go(model, graph)
