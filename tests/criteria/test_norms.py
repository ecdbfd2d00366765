import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.criteria import CRITERIA, criterion_named, share_gained
from condensa_core.errors import SchemeError

rows = st.integers(0, 2**31).map(lambda s: torch.randn(5, 4, generator=torch.Generator().manual_seed(s)))


@given(rows)
def test_norms_agree_with_their_definitions(w):
    expected = {
        "l1": [sum(abs(x) for x in row) for row in w.tolist()],
        "l2": [sum(x * x for x in row) ** 0.5 for row in w.tolist()],
        "max": [max(abs(x) for x in row) for row in w.tolist()],
        "mean": [sum(abs(x) for x in row) / len(row) for row in w.tolist()],
        "min": [min(abs(x) for x in row) for row in w.tolist()],
        "scaled_l2": [sum(x * x for x in row) ** 0.5 / len(row) for row in w.tolist()],
        "sum": [sum(abs(x) for x in row) for row in w.tolist()],
    }
    assert set(expected) == set(CRITERIA)
    for name, values in expected.items():
        torch.testing.assert_close(criterion_named(name)(w), torch.tensor(values), rtol=1e-5, atol=1e-6)


@given(rows, st.floats(1e-3, 1e3))
def test_the_share_gained_does_not_see_the_scale(w, scale):
    scores = criterion_named("l2")(w)

    torch.testing.assert_close(share_gained(scores * scale), share_gained(scores), rtol=1e-4, atol=1e-5)


families = st.lists(st.lists(st.floats(0.1, 4), min_size=1, max_size=4), min_size=1, max_size=3)


@given(families, st.data())
def test_one_threshold_on_the_gains_maximises_the_retained_shares(scores, data):
    """Against all subsets: sum_f sqrt(n_f) log(retained share), every family keeping something."""
    tensors = [torch.tensor(s, dtype=torch.float64) for s in scores]
    total = sum(map(len, scores))
    kept = data.draw(st.integers(len(scores), total))

    def retained(masks):
        return sum(
            len(m) ** 0.5 * math.log(sum(x * x for x, k in zip(s, m, strict=True) if k) / sum(x * x for x in s))
            for s, m in zip(scores, masks, strict=True)
        )

    gains = torch.cat([share_gained(t) for t in tensors])
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[gains.argsort(descending=True, stable=True)[:kept]] = True
    ours = retained([m.tolist() for m in chosen.split([len(s) for s in scores])])

    choices = product(*[[m for m in product([0, 1], repeat=len(s)) if any(m)] for s in scores])
    best = max(retained(masks) for masks in choices if sum(map(sum, masks)) == kept)
    assert ours == pytest.approx(best, abs=1e-9)


def test_an_all_zero_family_keeps_its_first_unit_and_gains_nothing_more():
    assert share_gained(torch.zeros(3)).tolist() == [math.inf, 0, 0]


def test_a_near_name_is_suggested():
    with pytest.raises(SchemeError, match="did you mean 'mean'"):
        criterion_named("meen")
