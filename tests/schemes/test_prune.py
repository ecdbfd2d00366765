from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import SchemeError
from condensa_core.schemes import Prune, Target
from condensa_core.schemes.counting import kept_of

weights = st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=7).map(torch.tensor)


@given(weights, st.floats(0, 1))
def test_no_sparser_point_is_nearer(w, sparsity):
    kept = kept_of(w.numel(), sparsity)

    theta = Prune(sparsity).project(Target({"w": w})).decode()["w"]

    assert int((theta != 0).sum()) <= kept  # feasible
    best = min(
        float(((w - torch.where(torch.tensor([i in s for i in range(w.numel())]), w, torch.zeros(()))) ** 2).sum())
        for s in combinations(range(w.numel()), kept)
    )
    assert float(((w - theta) ** 2).sum()) == pytest.approx(best, abs=1e-5)  # optimal, by brute force


def test_the_count_is_joint_over_tensors():
    small, large = torch.full((2, 5), 0.1), torch.full((10,), 3.0)

    theta = Prune(0.5).project(Target({"small": small, "large": large})).decode()

    assert int((theta["small"] != 0).sum()) == 0
    assert torch.equal(theta["large"], large)


@pytest.mark.parametrize(("sparsity", "left"), [(0.0, 10), (1.0, 0)])
def test_both_ends_are_legal(sparsity, left):
    theta = Prune(sparsity).project(Target({"w": torch.arange(1.0, 11.0)})).decode()["w"]

    assert int((theta != 0).sum()) == left


def test_ties_are_kept_by_position_and_counted_exactly():
    # the ancestor kept 5 of 5 at density 0.4 here
    theta = Prune(0.6).project(Target({"w": torch.tensor([1.0, 1.0, 1.0, 1.0, 2.0])})).decode()["w"]

    assert theta.tolist() == [1.0, 0.0, 0.0, 0.0, 2.0]


def test_bits_take_the_cheaper_index():
    w = torch.ones(4096)
    dense_half = Prune(0.5).project(Target({"w": w}))
    sparse = Prune(1 - 4 / 4096).project(Target({"w": w}))

    assert dense_half.bits() == 2048 * 32 + 4096  # bitmap
    assert sparse.bits() == 4 * 32 + 4 * 12  # four indices of 12 bits


def test_an_unknown_criterion_is_refused():
    with pytest.raises(SchemeError, match="criterion"):
        Prune(0.5, criterion="taylor")
