from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import SchemeError
from condensa_core.schemes.counting import kept_of, largest


@pytest.mark.parametrize(("total", "percent"), [(100, 29), (100, 57), (30, 80), (1000, 1), (7, 0), (7, 100)])
def test_the_decimal_the_user_wrote_is_what_counts(total, percent):
    # 0.29 * 100 is 28.999999999999996 in binary; the ancestor kept one too many here
    assert kept_of(total, percent / 100) == total - round(total * percent / 100)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_kept_is_the_nearest_count(total, sparsity):
    kept = kept_of(total, sparsity)

    assert 0 <= kept <= total
    assert abs((total - kept) - sparsity * total) <= 0.5 + 1e-6


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, 70.0, float("inf")])
def test_sparsity_outside_its_range_is_refused(sparsity):
    with pytest.raises(SchemeError, match="outside"):
        kept_of(10, sparsity)


def test_a_percentage_gets_a_suggestion():
    with pytest.raises(SchemeError, match=r"write 0\.7 for 70%"):
        kept_of(10, 70.0)


scores = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0]), min_size=1, max_size=8).map(torch.tensor)


@given(scores, st.data())
def test_largest_keeps_exactly_that_many_and_the_best(values, data):
    kept = data.draw(st.integers(0, values.numel()))

    mask = largest(values, kept)

    assert int(mask.sum()) == kept
    best = max((sum(values[list(c)]).item() if c else 0.0) for c in combinations(range(values.numel()), kept))
    assert float(values[mask].sum()) == pytest.approx(best)


@given(scores, st.data())
def test_ties_go_to_the_earlier_position(values, data):
    kept = data.draw(st.integers(0, values.numel()))
    by_hand = sorted(range(values.numel()), key=lambda i: (-values[i].item(), i))[:kept]

    assert sorted(largest(values, kept).nonzero().flatten().tolist()) == sorted(by_hand)


def test_nan_has_no_order():
    with pytest.raises(SchemeError, match="NaN"):
        largest(torch.tensor([1.0, float("nan")]), 1)
