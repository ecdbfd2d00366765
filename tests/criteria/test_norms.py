import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.criteria import CRITERIA, criterion_named, scale_free
from condensa_core.errors import SchemeError

rows = st.integers(0, 2**31).map(lambda s: torch.randn(5, 4, generator=torch.Generator().manual_seed(s)))


@given(rows)
def test_norms_agree_with_their_definitions(w):
    expected = {
        "l1": [sum(abs(x) for x in row) for row in w.tolist()],
        "l2": [sum(x * x for x in row) ** 0.5 for row in w.tolist()],
        "max": [max(abs(x) for x in row) for row in w.tolist()],
        "mean": [sum(abs(x) for x in row) / len(row) for row in w.tolist()],
    }
    assert set(expected) == set(CRITERIA)
    for name, values in expected.items():
        torch.testing.assert_close(criterion_named(name)(w), torch.tensor(values), rtol=1e-5, atol=1e-6)


@given(rows, st.floats(1e-3, 1e3))
def test_scale_free_scores_do_not_see_the_scale(w, scale):
    scores = criterion_named("l2")(w)

    torch.testing.assert_close(scale_free(scores * scale), scale_free(scores), rtol=1e-4, atol=1e-5)
    assert float(scale_free(scores).square().mean()) == pytest.approx(1, rel=1e-4)


def test_an_all_zero_family_stays_zero():
    assert scale_free(torch.zeros(3)).tolist() == [0, 0, 0]


def test_a_near_name_is_suggested():
    with pytest.raises(SchemeError, match="did you mean 'mean'"):
        criterion_named("meen")
