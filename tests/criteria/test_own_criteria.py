import pytest
import torch

from condensa_core.criteria import criterion_of
from condensa_core.errors import SchemeError

ROWS = torch.tensor([[1.0, 2.0], [3.0, 0.5]])


def test_a_function_of_ones_own_is_a_criterion():
    median = criterion_of(lambda rows: rows.median(dim=1).values)

    assert median(ROWS).tolist() == [1.0, 0.5]


def test_a_name_is_a_criterion():
    assert criterion_of("max")(ROWS).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (lambda rows: rows, r"one score for each of 2 rows, got shape \(2, 2\)"),
        (lambda rows: 1.0, "one score for each of 2 rows, got float"),
        (lambda rows: rows.sum(1) * torch.nan, "NaN"),
        (lambda rows: rows.no_such_method(), "fails on 2 x 2 magnitudes"),
    ],
)
def test_an_answer_that_cannot_rank_is_refused(own, message):
    with pytest.raises(SchemeError, match=message):
        criterion_of(own)(ROWS)


def test_something_that_is_no_function_is_refused():
    with pytest.raises(SchemeError, match="a name or a function, got int"):
        criterion_of(3)
