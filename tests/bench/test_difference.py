"""What two computations' outputs may be apart by: nothing that is wrong hides behind an offset, a mask or an id."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.bench.arithmetic import TOLERANCES
from condensa_core.bench.difference import difference

NORMAL = np.random.default_rng(0).standard_normal((2, 32, 10))
IDS = np.random.default_rng(0).integers(0, 50257, (8, 16))


def apart(ours, theirs):
    found = difference([{"y": np.asarray(ours)}], [{"y": np.asarray(theirs)}])
    assert found is not None
    return found


def masked(values):
    return np.concatenate([np.full((len(values), 1), -1e4), values[:, 1:]], axis=1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (IDS, IDS + 1),
        (IDS % 1000, np.clip(IDS % 1000 + 40, 0, 999)),
        (NORMAL[0] - 100, NORMAL[1] - 100),
        (masked(NORMAL[0]), masked(NORMAL[1])),
        (NORMAL[0] > 0, NORMAL[1] > 0),
        (np.array(["cat", "dog"] * 4, dtype=object), np.array(["dog", "cat"] * 4, dtype=object)),
    ],
    ids=["every token id", "most labels", "log-probabilities", "a masked class", "truths", "strings"],
)
def test_other_outputs_are_no_parity_in_any_arithmetic(ours, theirs):
    found = apart(ours, theirs)

    assert not any(found.within(tolerance) for tolerance in TOLERANCES.values())


def test_ties_may_fall_to_either_side_and_more_may_not():
    labels, classes = np.arange(32), NORMAL[0].copy()
    classes[:, 9] = classes.max(axis=1)  # two equal largest
    other = classes.copy()
    other[:, 9] += 1e-6

    assert apart(labels, np.where(labels < 5, 0, labels)).within(1e-4)
    assert not apart(labels, np.where(labels < 6, 0, labels)).within(1e-4)
    assert apart(classes, other).top1_agreement < 0.5
    assert apart(classes, other).within(1e-4)
    assert not apart(labels, np.where(labels < 4, 0, labels)).within(1e-4, flips=1e-3)


values = st.lists(st.sampled_from([0.0, 1.0, -1.0, 1e-30, 3e5]) | st.floats(-1e6, 1e6), min_size=1, max_size=12)


@given(values=values, scale=st.sampled_from([1.0, 1e-20, 1e200]), columns=st.sampled_from([1, 2, 3]))
def test_what_is_equal_is_within_any_tolerance_and_its_figures_are_numbers(values, scale, columns):
    y = np.tile(np.array(values)[:, None] * scale, columns)

    found = apart(y, y.copy())

    assert found.within(0.0)
    assert (found.max_abs, found.max_rel, found.cosine) == (0.0, 0.0, pytest.approx(1.0))
    assert found.cosine <= 1
    assert all(value is None or np.isfinite(value) for value in found.to_json().values() if not isinstance(value, str))


@pytest.mark.parametrize("value", [3.0, -7.0, 1e200])
def test_one_value_or_a_constant_is_judged_by_its_size(value):
    for shape in ((1, 1), (4, 5)):
        assert apart(np.full(shape, value), np.full(shape, value * 1.01)).max_rel == pytest.approx(0.01)


def test_outputs_are_paired_by_name_where_both_have_the_same():
    p, q = np.ones((2, 3)), np.zeros((2, 3))

    by_name = difference([{"p": p, "q": q}], [{"q": q, "p": p}])
    by_position = difference([{"p": p, "q": q}], [{"a": p, "b": q}])

    assert (by_name.max_abs, by_name.paired_by) == (0, "name")
    assert (by_position.max_abs, by_position.paired_by) == (0, "position")


def test_an_empty_output_hides_no_other():
    hits, scores = np.zeros((0, 4)), np.ones((2, 3))

    found = difference([{"hits": hits, "scores": scores}], [{"hits": hits, "scores": scores * 2}])

    assert found.max_rel == 1
    assert not found.within(0.1, rounded=True)


def test_only_values_that_are_no_numbers_have_no_angle():
    found = apart(np.full((2, 2), np.nan), np.full((2, 2), np.nan))

    assert found.cosine is None
    assert not found.within(1e9)
    assert found.to_json()["max_abs"] == 0


def test_where_layers_round_few_samples_may_be_off_and_none_far():
    y = NORMAL[0]
    scale = (y.max() - y.min()) / 2

    def off(samples, by):
        return apart(y, y + np.where(np.arange(32) < samples, by * scale, 0.0)[:, None])

    assert off(4, 0.1).within(0.05, rounded=True)
    assert not off(4, 0.1).within(0.05)
    assert not off(5, 0.1).within(0.05, rounded=True)
    assert not off(1, 0.21).within(0.05, rounded=True)
    assert off(4, 0.1).beyond(0.05) == 4 / 32
    assert off(32, 0.049).within(0.05)
