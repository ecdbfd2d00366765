"""What a cut keeps, what it refuses, and how its failures read."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from condensa_core.errors import NotEquivalent, SchemeError
from condensa_core.graph import analyse
from condensa_core.materialise import check_equivalence, cut_tensors, deliverable, kept_positions, masked, shrink

IMAGES = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 2),
    )  # fmt: skip


def test_exactly_the_kept_slices_survive():
    # given
    model = small_network()
    graph = analyse(model, IMAGES)
    keep = {"0": np.array([1, 0, 1, 1, 0, 1], bool)[: graph.family("0").size], "6": np.array([0, 1, 1, 0, 1], bool)}

    # when
    small = shrink(model, graph, keep)

    # then: rows of one layer and the 2 x 2 positions of nothing else
    assert torch.equal(small[6].weight, model[6].weight[[1, 2, 4]])
    assert torch.equal(small[6].bias, model[6].bias[[1, 2, 4]])
    assert torch.equal(small[8].weight, model[8].weight[:, [1, 2, 4]])
    assert (small[6].in_features, small[6].out_features, small[8].in_features) == (16, 3, 3)
    # groups = 2 ties position i of both groups: 3 units of 2 channels
    assert graph.family("0").size == 3
    assert torch.equal(small[0].weight, model[0].weight[[0, 2, 3, 5]])
    assert torch.equal(small[1].running_var, model[1].running_var[[0, 2, 3, 5]])
    assert torch.equal(small[3].weight, model[3].weight[:, [0, 2]])
    assert (small[0].out_channels, small[1].num_features, small[3].in_channels, small[3].groups) == (4, 4, 4, 2)


def test_the_model_is_untouched_and_its_flags_come_along():
    model = small_network().to(torch.bfloat16)
    model[0].weight.requires_grad_(False)
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    graph = analyse(copy.deepcopy(model).float(), IMAGES)
    keep = {"0": np.array([True, False, False])}

    small = shrink(model, graph, keep)

    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert [m.training for m in small.modules()] == [m.training for m in model.modules()]
    assert not small[0].weight.requires_grad and small[0].bias.requires_grad
    assert {p.dtype for p in small.parameters()} == {torch.bfloat16}
    assert small[1].num_batches_tracked.dtype == torch.int64
    assert not {p.data_ptr() for p in small.parameters()} & {p.data_ptr() for p in model.parameters()}


def test_tied_weights_and_shared_modules_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.mix, self.out = nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 9, bias=False)
            self.out.weight, self.again = self.words.weight, self.mix
            self.watched = [self.mix.weight]  # a reference that no module registry knows

        def forward(self, tokens):
            x = self.words(tokens)
            return self.out(x + self.again(self.mix(x).relu()))

    model, inputs = Tied(), (torch.randint(0, 9, (2, 4)),)
    graph = analyse(model, inputs)

    small = shrink(model, graph, {"words": np.array([1, 1, 0, 0, 1, 0], bool)})

    assert small.out.weight is small.words.weight and small.again is small.mix
    assert small.watched[0] is small.mix.weight
    assert small.words.weight.shape == (9, 3) and small.words.embedding_dim == 3 and small.mix.weight.shape == (3, 3)
    assert small.out.in_features == 3


def test_nothing_removed_is_an_equal_copy():
    model = small_network()
    graph = analyse(model, IMAGES)

    small = shrink(model, graph, {"6": np.ones(5, bool)})

    assert small is not model and check_equivalence(model, small, IMAGES) == 0


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"6": np.zeros(5, bool)}, "leaves none of 5 channels"),
        ({"6": np.ones(4, bool)}, "boolean vector of length 5, got bool \\(4,\\)"),
        ({"6": np.ones(5)}, "boolean vector of length 5, got float64"),
        ({"nowhere": np.ones(5, bool)}, "no such family"),
    ],
)
def test_impossible_keeps_are_refused(keep, message):
    model = small_network()
    graph = analyse(model, IMAGES)

    for act in (shrink, masked):
        with pytest.raises(SchemeError, match=message):
            act(model, graph, keep)


class WrittenOut(nn.Module):
    """A forward that holds the number of channels of its second layer; the first can still be cut."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3), nn.Linear(4 * 16, 3)

    def forward(self, x):
        return self.head(F.relu(self.b(F.relu(self.a(x)))).view(-1, 64))


def test_written_out_sizes_are_found_and_explained():
    model = WrittenOut()
    graph = analyse(model, IMAGES)
    keep = {"b": np.array([1, 0, 0, 1], bool)}

    with pytest.raises(NotEquivalent, match=r"does not run, in head: .*flatten.*`keep`"):
        check_equivalence(masked(model, graph, keep), shrink(model, graph, keep), IMAGES)


def test_a_forward_with_sizes_written_out_is_left_behind_for_its_program():
    model = WrittenOut()
    graph = analyse(model, IMAGES)

    cut, routes = deliverable(model, graph, IMAGES)

    assert cut is graph and routes == ("program",)
    fine = small_network()
    whole = analyse(fine, IMAGES)
    assert deliverable(fine, whole, IMAGES) == (whole, ("module", "program"))


def test_without_a_program_only_what_the_forward_holds_is_frozen():
    class OneBatch(WrittenOut):
        def forward(self, x):
            return super().forward(x.view(2, 3, 8, 8))

    model = OneBatch()

    graph, routes = deliverable(model, analyse(model, IMAGES), IMAGES)

    assert routes == ("module",)
    assert [family.name for family in graph.families] == ["a"]
    assert "b" in {frozen.layer for frozen in graph.frozen}


def test_a_wrong_cut_is_found():
    # given a cut of one unit and a mask of another
    model = small_network()
    graph = analyse(model, IMAGES)

    with pytest.raises(NotEquivalent, match=r"differs from the masked one by .* relative"):
        check_equivalence(
            masked(model, graph, {"6": np.arange(5) != 0}), shrink(model, graph, {"6": np.arange(5) != 1}), IMAGES
        )


def test_non_finite_outputs_are_never_equal():
    model = nn.Linear(8, 2)
    with torch.no_grad():
        model.weight.fill_(float("nan"))

    with pytest.raises(NotEquivalent, match="nan"):
        check_equivalence(model, model, (torch.randn(2, 8),))


def test_a_copy_that_keeps_its_old_weights_is_found():
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memo):
            return Stubborn(self.in_features, self.out_features)

    model = nn.Sequential(Stubborn(8, 6), nn.Linear(6, 2))
    graph = analyse(model, (torch.randn(2, 8),))
    keep = {"0": np.arange(6) < 2}

    with pytest.raises(NotEquivalent):
        check_equivalence(masked(model, graph, keep), shrink(model, graph, keep), (torch.randn(2, 8),))


def test_optimizer_state_is_cut_alongside():
    # given a masked model in the middle of an Adam run
    model = small_network().double().eval()
    inputs = (IMAGES[0].double(),)
    graph = analyse(model, inputs)
    keep = {"6": np.array([1, 0, 1, 1, 0], bool), "0": np.array([0, 1, 1], bool)}
    full = masked(model, graph, keep)
    adam = torch.optim.Adam(full.parameters(), lr=0.01)

    def step(module, optimizer):
        optimizer.zero_grad()
        module(*inputs).pow(2).sum().backward()
        optimizer.step()

    step(full, adam)
    with torch.no_grad():  # what was removed stays removed
        for name, tensor in masked(full, graph, keep).state_dict().items():
            full.state_dict()[name].copy_(tensor)

    # when a cut model takes over with the cut moments
    small = shrink(full, graph, keep)
    cut_adam = torch.optim.Adam(small.parameters(), lr=0.01)
    for moment in ("exp_avg", "exp_avg_sq", "step"):
        state = cut_tensors({name: adam.state[p][moment] for name, p in full.named_parameters()}, graph, keep)
        for name, parameter in small.named_parameters():
            cut_adam.state[parameter][moment] = state[name].clone()
    step(full, adam)
    step(small, cut_adam)

    # then both have taken the same step
    expected = cut_tensors(dict(full.named_parameters()), graph, keep)
    for name, parameter in small.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name].detach(), rtol=1e-10, atol=1e-13)


def test_cut_tensors_names_a_shape_that_does_not_fit():
    model = small_network()
    graph = analyse(model, IMAGES)
    keep = {"6": np.arange(5) < 2}

    assert kept_positions(graph, keep)["8.weight"][1].tolist() == [0, 1]
    with pytest.raises(SchemeError, match=r"8\.weight: a tensor of shape \(3, 5\) .* \(2, 5\)"):
        cut_tensors({"8.weight": torch.zeros(3, 5)}, graph, keep)
    other = torch.zeros(3)
    assert cut_tensors({"else": other}, graph, keep)["else"] is other
