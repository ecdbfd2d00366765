import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import SchemeError
from condensa_core.schemes import Metric, Prune, Target
from condensa_core.schemes.counting import kept_of, largest

# Few distinct values: ties, zeros and repeats in almost every draw.
weights = st.lists(
    st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0]) | st.floats(-4, 4, width=32), min_size=1, max_size=7
)
vectors = weights.map(torch.tensor)


def distance(w, theta, energies=None):
    return float(((w - theta).double() ** 2 * (1 if energies is None else energies)).sum())


def supports(n, kept):
    for chosen in combinations(range(n), kept):
        yield torch.tensor([i in chosen for i in range(n)])


@given(vectors, st.floats(0, 1))
def test_no_sparser_point_is_nearer(w, sparsity):
    kept = kept_of(w.numel(), sparsity)

    theta = Prune(sparsity).project(Target({"w": w})).decode()["w"]

    assert int((theta != 0).sum()) <= kept  # feasible
    best = min(distance(w, torch.where(mask, w, 0)) for mask in supports(w.numel(), kept))
    assert distance(w, theta) == pytest.approx(best, abs=1e-9)  # optimal, by brute force


@given(vectors, st.data())
def test_no_sparser_point_is_nearer_in_the_metric(w, data):
    n = w.numel()
    energies = torch.tensor(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 4.0]), min_size=n, max_size=n)))
    kappa = data.draw(st.integers(0, n + 2))  # more than n is no constraint

    theta = Prune(kappa=kappa).project(Target({"w": w}, metrics={"w": Metric(energies)})).decode()["w"]

    assert int((theta != 0).sum()) <= kappa
    best = min(distance(w, torch.where(mask, w, 0), energies) for mask in supports(n, min(kappa, n)))
    assert distance(w, theta, energies) == pytest.approx(best, abs=1e-9)


@given(vectors, st.floats(0, 3), st.floats(0.1, 3))
def test_the_l0_penalty_is_minimal_over_all_supports(w, alpha, mu):
    theta = Prune(alpha=alpha, form="penalty").project(Target({"w": w}, mu=mu)).decode()["w"]

    def cost(point):
        return alpha * int((point != 0).sum()) + mu / 2 * distance(w, point)

    n = w.numel()
    best = min(cost(torch.where(mask, w, 0)) for kept in range(n + 1) for mask in supports(n, kept))
    assert cost(theta) == pytest.approx(best, rel=1e-9, abs=1e-9)


@given(vectors, vectors, st.floats(0, 1))
def test_several_tensors_are_pruned_as_one(first, second, sparsity):
    both = Prune(sparsity).project(Target({"w": torch.cat([first, second])})).decode()["w"]

    apart = Prune(sparsity).project(Target({"a": first, "b": second})).decode()

    assert torch.equal(torch.cat([apart["a"], apart["b"]]), both)


def test_the_count_is_joint_over_tensors():
    small, large = torch.full((2, 5), 0.1), torch.full((10,), 3.0)

    theta = Prune(0.5).project(Target({"small": small, "large": large})).decode()

    assert int((theta["small"] != 0).sum()) == 0
    assert torch.equal(theta["large"], large)


@pytest.mark.parametrize(
    ("settings", "left"), [({"sparsity": 0.0}, 10), ({"sparsity": 1.0}, 0), ({"kappa": 0}, 0), ({"kappa": 10}, 10)]
)
def test_both_ends_are_legal(settings, left):
    # the LC library keeps everything at kappa = 0
    theta = Prune(**settings).project(Target({"w": torch.arange(1.0, 11.0)})).decode()["w"]

    assert int((theta != 0).sum()) == left


def test_ties_are_kept_by_position_and_counted_exactly():
    # the ancestor kept 5 of 5 at density 0.4 here
    theta = Prune(0.6).project(Target({"w": torch.tensor([1.0, 1.0, 1.0, 1.0, 2.0])})).decode()["w"]

    assert theta.tolist() == [1.0, 0.0, 0.0, 0.0, 2.0]


@given(vectors, st.data())
def test_what_an_earlier_scheme_removed_is_no_part_of_the_problem(w, data):
    n = w.numel()
    alive = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    sparsity = data.draw(st.floats(0, 1))
    w = w * alive

    code = Prune(sparsity).project(Target({"w": w}, alive={"w": alive}))

    alone = Prune(sparsity).project(Target({"w": w[alive]}))
    assert torch.equal(code.decode()["w"][alive], alone.decode()["w"])
    assert not code.masks["w"][~alive].any()
    assert code.bits() == alone.bits()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_it_works_in_the_dtype_of_the_target(dtype):
    w = torch.randn(40, 30, generator=torch.Generator().manual_seed(1)).to(dtype)

    theta = Prune(0.7).project(Target({"w": w})).decode()["w"]

    order = w.double().abs().flatten().argsort(descending=True, stable=True)[: kept_of(1200, 0.7)]
    assert theta.dtype == dtype
    assert sorted(theta.flatten().nonzero().flatten().tolist()) == sorted(order.tolist())


def test_a_large_selection_is_that_of_a_sort():
    # large enough for selecting by a sample, whose stride meets the period of the second tensor
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(40_000, generator=generator)
    periodic = (torch.arange(40_000) % 64 == 0).float()
    coarse = torch.randint(0, 4, (40_000,), generator=generator).float()
    for scores in (random, periodic, coarse, 1 - periodic, torch.arange(40_000.0), -torch.arange(40_000.0)):
        for kept in (1, 17, 625, 626, 9_000, 20_000, 39_999):
            mask = largest(scores, kept)

            by_sorting = torch.zeros(40_000, dtype=torch.bool)
            by_sorting[scores.argsort(descending=True, stable=True)[:kept]] = True
            assert torch.equal(mask, by_sorting)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_weights_are_refused_by_name(bad):
    for scheme in (Prune(0.5), Prune(kappa=1.0, norm="l1"), Prune(pattern="2:4")):
        with pytest.raises(SchemeError, match=r"layer\.weight"):
            scheme.project(Target({"layer.weight": torch.tensor([1.0, bad])}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "sparsity or kappa, got none"),
        ({"sparsity": 0.5, "kappa": 3}, "got sparsity and kappa"),
        ({"alpha": 0.5}, "form: penalty"),
        ({"sparsity": 0.5, "form": "penalty"}, "takes alpha"),
        ({"sparsity": 0.5, "norm": "l1"}, "takes kappa"),
        ({"kappa": -1}, "from 0"),
        ({"kappa": math.nan}, "from 0"),
        ({"kappa": 2.5}, "whole"),
        ({"alpha": math.inf, "form": "penalty"}, "finite"),
        ({"sparsity": 1.5}, "outside"),
        ({"sparsity": 0.5, "norm": "l2"}, "known: l0, l1"),
        ({"sparsity": 0.5, "form": "budget"}, "known: constraint, penalty"),
        ({"sparsity": 0.5, "criterion": "taylor"}, "criterion"),
        ({"sparsity": 0.5, "pattern": "2:4"}, "says by itself"),
        ({"pattern": "5:4"}, "must keep 0 to 4"),
        ({"pattern": "checkerboard"}, "N:M"),
        ({"sparsity": 0.5, "pattern": 7}, "name or a function"),
        ({"kappa": 3.0, "norm": "l1", "pattern": "2:4"}, "says by itself|no pattern"),
        ({"kappa": 3.0, "norm": "l1", "pattern": lambda shape: None}, "no pattern"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SchemeError, match=message):
        Prune(**settings)


@pytest.mark.parametrize("norm", ["l0", "l1"])
@pytest.mark.parametrize("mu", [None, 0.0])
def test_a_penalty_without_mu_is_refused_instead_of_giving_zeros(norm, mu):
    with pytest.raises(SchemeError, match="form: constraint"):
        Prune(alpha=0.1, norm=norm, form="penalty").project(Target({"w": torch.ones(3)}, mu=mu))


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_a_metric_that_is_none_is_refused(bad):
    metrics = {"w": Metric(torch.tensor([1.0, bad]))}
    for scheme in (Prune(0.5), Prune(kappa=1.0, norm="l1"), Prune(pattern="1:2")):
        with pytest.raises(SchemeError, match="the metric of w has negative or non-finite weights"):
            scheme.project(Target({"w": torch.ones(2)}, metrics=metrics))
