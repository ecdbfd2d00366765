"""What a cut model is said to cost, against what it really has: torch's own counts, on the program that was cut."""

from __future__ import annotations

import functools
import warnings
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.fx import Interpreter
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

from condensa_core.errors import SchemeError
from condensa_core.graph import analyse, count_macs
from condensa_core.graph.costs import UnitCosts, costs_of
from condensa_core.materialise import cut_program, deliver, shrink

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


class Convolutions(nn.Module):
    """A residual, a concatenation, groups of which some go whole and some lose places, depthwise, transposed."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.back = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.side, self.grouped = nn.Conv2d(8, 4, 3, stride=2, padding=1), nn.Conv2d(12, 24, 3, groups=4)
        self.shuffled, self.up = nn.Conv2d(24, 12, 1), nn.ConvTranspose2d(12, 6, 2, stride=2, groups=2)
        self.head = nn.Linear(6 * 16, 5)

    def forward(self, x):
        x = F.relu_(self.norm(self.stem(x)))
        x = x + self.back(F.silu(self.depthwise(x)))
        x = torch.cat([F.max_pool2d(x, 2), self.side(x)], 1)
        x = F.dropout(self.up(F.relu(self.shuffled(self.grouped(x)))), 0.5, self.training)
        return self.head(x.flatten(1))


class Attention(nn.Module):
    """An encoder layer over embedded tokens, with tied output weights; one parameter and one buffer are never read."""

    def __init__(self):
        super().__init__()
        self.tokens, self.layer = nn.Embedding(7, 12), nn.TransformerEncoderLayer(12, 4, 10, batch_first=True)
        self.up, self.head = nn.Linear(12, 12), nn.Linear(12, 7)
        self.head.weight = self.tokens.weight
        self.unread = nn.Parameter(torch.zeros(11))
        self.register_buffer("never", torch.zeros(13))

    def forward(self, numbers):
        return self.head(self.up(self.layer(self.tokens(numbers))))


class Products(nn.Module):
    """Attention written out in three ways, queries in groups, a weight computed from another, and a vector."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(6, 16), nn.Linear(6, 8), nn.Linear(6, 6)
        self.out, self.inner, self.head = nn.Linear(12, 6), nn.Linear(6, 9), nn.Linear(9, 3)
        self.mix, self.vector = nn.Parameter(torch.randn(9, 9)), nn.Parameter(torch.randn(3))

    def forward(self, x):
        q, k = (f(x).unflatten(-1, (-1, 4)).transpose(1, 2) for f in (self.q, self.k))
        v = self.v(x).unflatten(-1, (-1, 3)).transpose(1, 2)
        fused = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        written = torch.matmul((q @ k.transpose(-2, -1)).softmax(-1), v)
        summed = torch.einsum("bhik,bhjk,bhjl->bhil", q, k, v)
        x = self.out((fused + written + summed).transpose(1, 2).flatten(2))
        x = torch.addmm(self.inner.bias, x.flatten(0, 1), self.inner.weight.T)
        return self.head(F.linear(torch.tanh(x), self.mix * 2)) @ self.vector


class Recurrent(nn.Module):
    """LSTM with projections, both ways in two layers; then a plain LSTM and a GRU."""

    def __init__(self):
        super().__init__()
        self.into = nn.Linear(3, 5)
        self.both = nn.LSTM(5, 6, num_layers=2, bidirectional=True, proj_size=4, batch_first=True)
        self.lstm, self.gru = nn.LSTM(8, 5, batch_first=True), nn.GRU(5, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.gru(self.lstm(self.both(self.into(x))[0])[0])[0][:, -1])


BUILD = {
    Convolutions: lambda: (torch.randn(2, 3, 8, 8),),
    Attention: lambda: (torch.randint(7, (2, 5)),),
    Products: lambda: (torch.randn(2, 5, 6),),
    Recurrent: lambda: (torch.randn(2, 7, 3),),
}
models = pytest.mark.parametrize("kind", list(BUILD))


@functools.cache
def analysed(kind):
    torch.manual_seed(0)
    model, inputs = kind().eval(), BUILD[kind]()
    graph = analyse(model, inputs)
    return model, inputs, graph, costs_of(graph)


@st.composite
def keeps(draw, graph):
    """Any survivors of every family, at least one each."""
    drawn = {f.name: draw(st.lists(st.booleans(), min_size=f.size, max_size=f.size)) for f in graph.families}
    keep = {name: np.array(mask) for name, mask in drawn.items()}
    for mask in keep.values():
        mask[draw(st.integers(0, len(mask) - 1))] = True
    return keep


def counts(keep):
    return {name: int(mask.sum()) for name, mask in keep.items()}


def unfused_macs(model, inputs):
    """torch's counts where no fused kernel of this machine hides products from it."""
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        warnings.simplefilter("ignore")  # leaving mkldnn.flags warns about GPUs of another vendor
        with torch.backends.mkldnn.flags(enabled=False):
            return count_macs(model, inputs)


def written_bytes(program, inputs):
    """Of one sample, from a real run: what operators return of the input's doing, in memory that they did not read."""

    class Watching(Interpreter):
        def __init__(self):
            super().__init__(program)
            self.varying, self.elements = set(), 0

        def run_node(self, node):
            read = {x.untyped_storage().data_ptr() for x in self._tensors([self.env[n] for n in node.all_input_nodes])}
            value = super().run_node(node)
            if node.op == "placeholder" or self.varying.intersection(node.all_input_nodes):
                self.varying.add(node)
                if node.op == "call_function":
                    for x in self._tensors(value):
                        fresh = x.is_floating_point() and x.untyped_storage().data_ptr() not in read
                        self.elements += x.numel() if fresh else 0
            return value

        def _tensors(self, value):
            return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]

    watching = Watching()
    with torch.no_grad():
        watching.run(*inputs)
    return 4 * watching.elements / len(inputs[0])


@models
def test_the_whole_model_costs_what_torch_counts(kind):
    model, inputs, graph, costs = analysed(kind)

    assert costs.macs({}) == unfused_macs(model, inputs)
    assert costs.parameters({}) == graph.parameters == sum(p.numel() for p in model.parameters())
    assert costs.activation_bytes({}) == written_bytes(cut_program(model, graph, {}), inputs)
    assert costs.sizes == {family.name: family.size for family in graph.families}
    assert costs.uneven == frozenset()


def test_macs_are_those_of_the_graph():
    _, _, graph, costs = analysed(Convolutions)

    assert costs.macs({}) == graph.macs


@models
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_cut_model_costs_what_was_said(kind, data):
    model, inputs, graph, costs = analysed(kind)
    keep = data.draw(keeps(graph))

    program = cut_program(model, graph, keep)

    assert costs.macs(counts(keep)) == unfused_macs(program, inputs)
    unread = 11 if kind is Attention else 0  # a program has no parameter that it does not read
    assert costs.parameters(counts(keep)) == sum(p.numel() for p in program.parameters()) + unread
    of_program = costs_of(graph, "program").parameters(counts(keep))
    assert of_program == sum(p.numel() for p in program.parameters())
    assert costs.activation_bytes(counts(keep)) == written_bytes(program, inputs)


@pytest.mark.parametrize("kind", [Convolutions, Recurrent])
def test_a_shrunk_module_has_the_same_parameters(kind):
    model, _, graph, costs = analysed(kind)
    keep = {family.name: np.arange(family.size) % 3 == 0 for family in graph.families}

    small = shrink(model, graph, keep)

    assert costs.parameters(counts(keep)) == sum(p.numel() for p in small.parameters())


@models
def test_gradients_are_those_of_finite_differences(kind):
    *_, costs = analysed(kind)
    generator = torch.Generator().manual_seed(1)
    at = [size * torch.rand((), generator=generator, dtype=torch.float64) for size in costs.sizes.values()]

    for cost in (costs.macs, costs.parameters, costs.activation_bytes):
        # Central differences of a cubic err by its third derivative times eps^2 / 6; values of 1e6 round at 1e-10.
        assert torch.autograd.gradcheck(
            lambda *kept, cost=cost: cost(dict(zip(costs.sizes, kept, strict=True))),
            [kept.requires_grad_() for kept in at],
            eps=1e-3,
            atol=1e-3,
            rtol=1e-6,
        )


@models
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_keeping_more_never_costs_less(kind, data):
    *_, costs = analysed(kind)
    fractions = st.floats(0, 1)
    more = {name: data.draw(fractions) * size for name, size in costs.sizes.items()}
    less = {name: data.draw(fractions) * kept for name, kept in more.items()}

    for cost in (costs.macs, costs.parameters, costs.activation_bytes):
        # 1e-12: sums of products in float64
        assert cost(less) <= cost(more) * (1 + 1e-12)
        assert cost(more) <= cost({}) * (1 + 1e-12)


@models
def test_a_unit_costs_what_goes_when_it_alone_is_cut(kind):
    model, inputs, graph, costs = analysed(kind)
    whole = cut_program(model, graph, {})

    for family in graph.families:
        program = cut_program(model, graph, {family.name: np.arange(family.size) != 1})

        expected = UnitCosts(
            unfused_macs(whole, inputs) - unfused_macs(program, inputs),
            sum(p.numel() for p in whole.parameters()) - sum(p.numel() for p in program.parameters()),
            written_bytes(whole, inputs) - written_bytes(program, inputs),
        )
        assert costs.per_unit(family.name) == expected


def test_numbers_and_tensors_mix_and_reach_the_gradient_of_each_tensor():
    # given two layers of 4 x 6 + 6 and 6 x 5 + 5 weights
    costs = costs_of(analyse(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)), (torch.randn(2, 4),)))
    kept = torch.tensor(2.5, dtype=torch.float32, requires_grad=True)

    macs = costs.macs({"0": kept, "1": 3})
    macs.backward()

    assert macs.dtype == torch.float64 and macs.shape == ()
    assert macs.item() == 2.5 * 4 + 2.5 * 3 + 3 * 3
    assert kept.grad == 4 + 3
    in_other_order = {"1": torch.tensor(3), "0": kept}
    assert costs.macs(in_other_order) == macs


def test_costs_are_of_one_sample_whatever_the_batch():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))

    costs = [costs_of(analyse(model, (torch.randn(batch, 3, 8, 8),))) for batch in (2, 6)]

    for cost in costs:
        assert cost.macs({"0": 3}) == 36 * 3 * 27 + 2 * 3 * 36
        assert cost.activation_bytes({"0": 3}) == 4 * (36 * 3 + 36 * 3 + 2)  # convolution, relu, linear; no view


def test_values_of_weights_alone_and_masks_are_no_activations():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 4))

        def forward(self, x):
            y = F.linear(x, self.weight / self.weight.norm())
            return y * (y > 0)

    costs = costs_of(analyse(Model(), (torch.randn(2, 4),)))

    assert costs.activation_bytes({}) == 4 * (5 + 5)


def test_units_that_differ_between_layers_count_with_their_mean():
    # given a slice that has half of the channels, whichever they are
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 2, 1)

        def forward(self, x):
            x = self.conv(x)
            return self.head(x * torch.relu(x[:, :2]).sum(1, keepdim=True))

    model, inputs = Model().eval(), (torch.randn(2, 3, 2, 2),)
    graph = analyse(model, inputs)
    costs = costs_of(graph)

    assert [family.size for family in graph.families] == [4]
    assert costs.uneven == {"conv"}
    choices = [np.isin(np.arange(4), chosen) for chosen in combinations(range(4), 3)]
    found = [written_bytes(cut_program(model, graph, {"conv": mask}), inputs) for mask in choices]
    assert len(set(found)) > 1
    assert costs.activation_bytes({"conv": 3}) == np.mean(found)
    assert costs.macs({"conv": 3}) == 4 * (3 * 3 + 3 * 2)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("nij,njk->nik", [(2, 3, 4), (2, 4, 5)]),
        ("nij,njk->nk", [(2, 3, 4), (2, 4, 5)]),  # i is summed over first
        ("nij,nkl->nijkl", [(2, 3, 4), (2, 4, 5)]),  # multiplied element by element
        ("nij,njk->nik", [(2, 3, 1), (2, 4, 5)]),  # broadcast: summed over first
        ("nij,jk->nik", [(2, 3, 4), (4, 5)]),
        ("nab,bc,cd,de->nae", [(2, 3, 4), (4, 5), (5, 6), (6, 7)]),
        ("ab,bc,cd,nde->nae", [(3, 4), (4, 5), (5, 6), (2, 6, 7)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
        ("nij,njk", [(2, 3, 4), (2, 4, 5)]),
        ("nii,nij->nj", [(2, 3, 3), (2, 3, 5)]),
    ],
)
def test_sums_over_named_dimensions_cost_what_torch_counts(equation, shapes):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rest = nn.ParameterList([torch.randn(shape) for shape in shapes if shape[0] != 2])

        def forward(self, *inputs):
            given, rest = iter(inputs), iter(self.rest)
            return torch.einsum(equation, *(next(given if shape[0] == 2 else rest) for shape in shapes))

    inputs = tuple(torch.randn(shape) for shape in shapes if shape[0] == 2)
    model = Model()

    # floor: what only weights decide is not a whole number of times in each of two samples
    assert costs_of(analyse(model, inputs)).macs({}).floor() == count_macs(model, inputs)


@pytest.mark.parametrize("path", [[0, 1, 0, 1, 0, 1], [1, 2, 1, 2, 0, 1], [3, 2, 0, 1, 1, 0], [0, 1, 1, 2, 0, 1]])
def test_a_contraction_path_is_followed(path):
    class Model(nn.Module):
        def forward(self, a, b, c, d):
            return torch.ops.aten.einsum("nab,nbc,ncd,nde->nae", [a, b, c, d], path=path)

    inputs = tuple(torch.randn(2, size, size + 1) for size in (3, 4, 5, 6))

    assert costs_of(analyse(Model(), inputs)).macs({}) == count_macs(Model(), inputs)


class Autocast(nn.Module):
    """A region that exports as an operator with a body."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            x = self.inner(x)
        return x.float()


@pytest.mark.parametrize(
    ("module", "shapes"),
    [
        (nn.RNN(4, 3, batch_first=True), [(2, 5, 4)]),
        (nn.GRUCell(4, 3), [(2, 4)]),
        (Autocast(), [(2, 4)]),
        (nn.Bilinear(4, 3, 2), [(2, 4), (2, 3)]),
    ],
)
def test_operators_without_a_formula_cost_what_torch_counts(module, shapes):
    inputs = tuple(torch.randn(shape) for shape in shapes)

    assert costs_of(analyse(module, inputs)).macs({}) == count_macs(module, inputs)


def test_parameters_are_those_of_the_model_that_its_route_delivers():
    # given a layer that nobody calls, and one whose result nobody uses
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 5)
            self.never, self.unused = nn.Linear(7, 9), nn.Linear(4, 3)

        def forward(self, x):
            self.unused(x)
            return self.b(self.a(x).relu())

    model, inputs = Model(), (torch.randn(2, 4),)
    graph = analyse(model, inputs)

    for route in ("module", "program"):
        small = deliver(model, graph, {"a": np.arange(6) < 2}, inputs, (route,)).model
        assert costs_of(graph, route).parameters({"a": 2}) == sum(p.numel() for p in small.parameters())
    assert costs_of(graph, "program").parameters({}) == 4 * 6 + 6 + 6 * 5 + 5


@pytest.mark.parametrize("cost", ["macs", "parameters", "activation_bytes"])
def test_masks_and_families_in_place_of_counts_and_names_are_told_what_to_write(cost):
    graph = analyse(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5)), (torch.randn(2, 4),))
    costs = costs_of(graph)

    for mask in (np.arange(6) < 3, torch.arange(6) < 3):
        with pytest.raises(SchemeError, match=r"must be a number in 0\.\.6, got a \w+ of shape \(6,\).*vector\.sum"):
            getattr(costs, cost)({"0": mask})
    for count in (True, "3", None, torch.tensor(True)):
        with pytest.raises(SchemeError, match=r"must be a number in 0\.\.6"):
            getattr(costs, cost)({"0": count})
    with pytest.raises(SchemeError, match="write '0', its name"):
        getattr(costs, cost)({graph.families[0]: 3})
    with pytest.raises(SchemeError, match="write '0', its name"):
        costs.per_unit(graph.families[0])
    assert getattr(costs, cost)({"0": np.int64(3)}) == getattr(costs, cost)({"0": torch.tensor([3.0])})


def test_impossible_counts_are_refused():
    costs = costs_of(analyse(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5)), (torch.randn(2, 4),)))

    with pytest.raises(SchemeError, match="kept counts name 'nine'"):
        costs.macs({"nine": 1})
    with pytest.raises(SchemeError, match=r"kept count of '0' must lie in 0..6, got 6.5"):
        costs.parameters({"0": 6.5})
    with pytest.raises(SchemeError, match="got -1"):
        costs.activation_bytes({"0": -1})
    with pytest.raises(SchemeError, match="no such family"):
        costs.per_unit("nine")
