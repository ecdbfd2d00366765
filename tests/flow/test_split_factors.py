"""Factors of compositions as two layers: the same function, held in the same structure, told in the same terms."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from condensa_core.flow.accounting import stored_bits
from condensa_core.flow.candidate import Structure, cut_model, finished
from condensa_core.flow.packed import terms_of
from condensa_core.flow.rank_layers import unsplit
from condensa_core.flow.splitting import freedoms, split, split_as
from condensa_core.graph import analyse
from condensa_core.learning.hold import Hold
from condensa_core.materialise import check_equivalence, deliverable, fold_batchnorm
from condensa_core.schemes import (
    Codebook,
    Compose,
    Filter,
    LowRank,
    Prune,
    Quantize,
    Scheme,
    Sum,
    Target,
    Ternary,
)
from condensa_core.schemes import (
    Structure as Channels,
)


class Net(nn.Module):
    """A layer of each kind that two layers can stand for, one that none can, and a norm that is folded."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.grouped = nn.Conv2d(12, 16, 3, groups=2)
        self.head = nn.Linear(16, 14)
        self.table = nn.Embedding(20, 14)
        self.last = nn.Linear(14, 6)
        self.recurrent = nn.GRU(6, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.grouped(torch.relu(self.norm(self.first(x)))).mean((2, 3))
        ids = (x.flatten(1)[:, :4].abs() * 10).long().clamp(max=19)
        y = torch.tanh(self.head(torch.relu(y)))[:, None] + self.table(ids)
        return self.recurrent(self.last(y))[0].sum(1)


MATRICES = ("first.weight", "grouped.weight", "head.weight", "table.weight", "last.weight")
INNER: dict[str, tuple[Scheme, ...]] = {
    "plain": (),
    "code book": (Codebook(4),),
    "float16": (Quantize("float16"),),
    "a scale a channel": (Quantize("int6", granularity="channel"),),
    "ternary": (Ternary(),),
    "pruned code book": (Prune(0.5), Codebook(3)),
    "book and corrections": (Sum((Codebook(2), Prune(0.9))),),
}


@pytest.fixture(scope="module")
def bench() -> Any:
    torch.manual_seed(0)
    model = Net().double().eval()
    nn.init.uniform_(model.norm.bias, 0.1, 0.2)
    model.norm.running_mean.uniform_(-0.2, 0.2)
    model.norm.running_var.uniform_(0.5, 2)
    example = (torch.randn(2, 3, 6, 6, dtype=torch.float64),)
    graph, routes = deliverable(model, analyse(model, example), example)
    return SimpleNamespace(
        model=model,
        example=example,
        graph=graph,
        routes=routes,
        device=torch.device("cpu"),
        fold_batchnorm=fold_batchnorm,
    )


def decided(bench: Any, scheme: Scheme, names: tuple[str, ...] = MATRICES) -> tuple[nn.Module, Structure, Any]:
    """The model of Delta(Theta), what was decided, and the code: one C step on the weights as they are."""
    parameters = {name: p.detach() for name, p in bench.model.named_parameters()}
    families = ()
    if any(one.facts.structure == "channel" for one in getattr(scheme, "schemes", ())):
        families = tuple(f for f in bench.graph.families if f.name in ("first", "head"))
        names = tuple(dict.fromkeys((*(m.name for f in families for m in f.members if m.name in parameters), *names)))
    code = scheme.project(Target({name: parameters[name] for name in names}, families))
    model = copy.deepcopy(bench.model)
    with torch.no_grad():
        for name, dense in code.decode().items():
            model.get_parameter(name).copy_(dense)
    return model, Structure.of([code]), code


def shipped(bench: Any, scheme: Scheme, **names: Any) -> tuple[nn.Module, nn.Module, Structure, Any]:
    model, structure, code = decided(bench, scheme, **names)
    small = cut_model(bench, model, structure)
    two, structure = split(bench, small, structure)
    return small, two, structure, code


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", [(), (Channels(0.4),)], ids=["whole", "cut"])
def test_two_layers_compute_what_the_masked_model_does(bench: Any, outer: tuple, inner: str) -> None:
    scheme = Compose((*outer, LowRank(rank=2), *INNER[inner]))

    dense, two, structure, _ = shipped(bench, scheme)

    assert set(structure.pairs) == set(MATRICES)
    check_equivalence(dense, two, bench.example)
    again = split_as(bench, dense, structure.ranks)
    again.load_state_dict(two.state_dict())
    check_equivalence(two, again, bench.example)


def test_layers_before_a_normalisation_are_split_again_whatever_their_weights() -> None:
    torch.manual_seed(0)
    linear = partial(nn.Linear, bias=False)
    model = nn.Sequential(linear(12, 16), nn.LayerNorm(16), linear(16, 16), nn.LayerNorm(16), linear(16, 8))
    names, example = ("0.weight", "2.weight", "4.weight"), (torch.randn(4, 12),)
    graph, routes = deliverable(model.eval(), analyse(model, example), example)
    normed: Any = SimpleNamespace(
        model=model, example=example, graph=graph, routes=routes, fold_batchnorm=fold_batchnorm
    )
    dense, two, structure, _ = shipped(normed, LowRank(rank=3), names=names)

    again = split_as(normed, dense, structure.ranks)

    again.load_state_dict(two.state_dict())
    check_equivalence(two, again, example)
    assert unsplit(model, graph, routes, example, dict.fromkeys(names, "output")) == {}


def entries(model: nn.Module, structure: Structure) -> Tensor:
    parameters = dict(model.named_parameters())
    weights = [parameters[name] for pair in structure.pairs.values() for name in pair.names.values()]
    return torch.cat([weight.detach().flatten() for weight in weights])


def moved(bench: Any, two: nn.Module, structure: Structure) -> nn.Module:
    """`two` after a few random steps, held as fine-tuning holds it."""
    tuned = copy.deepcopy(two)
    hold = Hold(dict(tuned.named_parameters()), freedoms(bench, tuned, structure))
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        with torch.no_grad():
            for parameter in tuned.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        hold()
    return tuned


@pytest.mark.parametrize("outer", [(), (Channels(0.4),)], ids=["whole", "cut"])
@pytest.mark.parametrize(("inner", "most"), [("code book", 4), ("ternary", 3), ("pruned code book", 4)])
def test_fine_tuning_keeps_factors_in_their_book(bench: Any, outer: tuple, inner: str, most: int) -> None:
    _, two, structure, _ = shipped(bench, Compose((*outer, LowRank(rank=2), *INNER[inner])))

    tuned = moved(bench, two, structure)

    before, after = entries(two, structure), entries(tuned, structure)
    assert len(after.unique()) <= most < len(after)
    assert not torch.allclose(before, after)  # the shared numbers moved
    assert torch.equal(before == 0, after == 0)


def test_groups_of_a_convolution_keep_one_right_factor(bench: Any) -> None:
    _, two, structure, _ = shipped(bench, LowRank(rank=2))

    tuned = moved(bench, two, structure)

    right = dict(tuned.named_parameters())["grouped.right.weight"].detach()
    assert torch.equal(*right.chunk(2)) and not torch.equal(right, dict(two.named_parameters())["grouped.right.weight"])


def test_a_book_shared_with_a_product_that_is_not_split_is_held(bench: Any) -> None:
    names = ("head.weight", "recurrent.weight_ih_l0")
    _, two, structure, code = shipped(bench, Compose((LowRank(rank=1), Codebook(3))), names=names)

    tuned = moved(bench, two, structure)

    assert set(structure.pairs) == {"head.weight"}
    decoded = code.codes[-1].decode()
    free = set(decoded["head.weight.left"].unique().tolist()) - set(
        torch.cat([decoded[f"recurrent.weight_ih_l0.{side}"].flatten() for side in ("left", "right")]).tolist()
    )
    before, after = entries(two, structure), entries(tuned, structure)
    changed = before[before != after].unique().tolist()
    assert set(changed) <= free
    assert torch.equal(dict(two.named_parameters())["recurrent.weight_ih_l0"], tuned.recurrent.weight_ih_l0)


@pytest.mark.parametrize("inner", ["a scale a channel", "book and corrections", "code book"])
@pytest.mark.parametrize("outer", [(), (Channels(0.4),)], ids=["whole", "cut"])
def test_terms_make_the_weights_of_the_two_layers(bench: Any, outer: tuple, inner: str) -> None:
    _, two, structure, _ = shipped(bench, Compose((*outer, LowRank(rank=2), *INNER[inner])))
    two = two.float() if inner == "a scale a channel" else moved(bench, two, structure).float()
    plain = SimpleNamespace(**{**vars(bench), "example": (bench.example[0].float(),)})
    final = finished(plain, two, structure)

    terms = terms_of(plain, two, final, structure)

    weights = dict(final.named_parameters())
    held = {name for pair in structure.pairs.values() for name in pair.names.values()}
    assert set(terms) == ({"first.left.weight"} if inner == "code book" else held)  # into which the norm was folded
    for name, pieces in terms.items():
        dense = sum(piece.dense().double() for piece in pieces)
        torch.testing.assert_close(dense, weights[name].double(), rtol=1e-5, atol=1e-6)
    if inner == "book and corrections":
        books = [len(pieces[0].dense().unique()) for name, pieces in terms.items() if name != "first.left.weight"]
        assert max(books) <= 2


def test_factors_in_half_precision_are_parameters_in_half_precision(bench: Any) -> None:
    _, two, structure, _ = shipped(bench, Compose((LowRank(rank=2), Quantize("float16"))))

    tuned = moved(bench, two, structure)

    held = {name for pair in structure.pairs.values() for name in pair.names.values()}
    assert structure.narrow == dict.fromkeys(held, torch.float16)
    final = finished(bench, tuned, structure)
    weights = dict(final.named_parameters())
    assert all(torch.equal(weights[name], weights[name].half().double()) for name in held)


def test_what_is_stored_is_counted_by_what_is_left(bench: Any) -> None:
    scheme = Compose((Channels(0.4), LowRank(rank=2), Quantize("int6")))
    _, two, structure, _ = shipped(bench, scheme)

    stored, counted = stored_bits(bench, two, structure)

    parameters = dict(two.named_parameters())
    held = {name for pair in structure.pairs.values() for name in pair.names.values()}
    numbers = sum(parameters[name].numel() for name in held) - parameters["grouped.right.weight"].numel() // 2
    others = sum(p.numel() for name, p in parameters.items() if name not in held)
    followers = {n for f in bench.graph.families if f.name in ("first", "head") for m in f.members for n in [m.name]}
    passed = sum(p.numel() for n, p in parameters.items() if n.replace(".left", "") in followers and n not in held)
    assert stored == 6 * numbers + 32 * len(held) + 32 * (others - passed) + 64 * passed  # the codes are of float64
    assert counted == stored  # no zeros among them


def test_filters_that_another_rule_removes_take_columns_of_factors(bench: Any) -> None:
    parameters = {name: p.detach() for name, p in bench.model.named_parameters()}
    family = bench.graph.family("head")
    own = tuple(dict.fromkeys(m.name for m in family.members if m.side != "consumes" and m.name in parameters))
    codes = [
        Filter(0.5).project(Target({name: parameters[name] for name in own}, (family,))),
        Compose((LowRank(rank=1), Codebook(4))).project(Target({"last.weight": parameters["last.weight"]})),
    ]
    model = copy.deepcopy(bench.model)
    with torch.no_grad():
        for code in codes:
            for name, dense in code.decode().items():
                model.get_parameter(name).copy_(dense)
    structure = Structure.of(codes)
    two, structure = split(bench, cut_model(bench, model, structure), structure)

    stored, _ = stored_bits(bench, two, structure)

    weights = dict(two.named_parameters())
    assert weights["last.right.weight"].shape == (1, 7) and weights["last.left.weight"].shape == (6, 1)
    factors = torch.cat([weights[f"last.{side}.weight"].flatten() for side in ("left", "right")])
    rest = sum(p.numel() for name, p in weights.items() if not name.startswith("last") or name.endswith("bias"))
    used = len(factors.unique())
    assert stored == 64 * used + (used - 1).bit_length() * 13 + 32 * rest
