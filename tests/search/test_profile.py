"""The objective profile keeps only settings worth a training run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import UsageError
from condensa_core.search import Knob, ObjectiveProfile

KNOB = Knob("s", range=(0.0, 0.9), step=0.1)
objectives = st.lists(st.one_of(st.none(), st.floats(0.1, 10)), min_size=1, max_size=10)


def profile(values, direction="maximize", margin=0.0, reference=1.0):
    return ObjectiveProfile.measured(KNOB, zip(KNOB.grid(10), values, strict=False), reference, direction, margin)


@given(objectives, st.sampled_from(["maximize", "minimize"]))
def test_a_record_beats_the_reference_and_everything_milder_and_nothing_else_does(values, direction):
    records = {r.value for r in profile(values, direction).records()}

    better = (lambda a, b: a > b) if direction == "maximize" else (lambda a, b: a < b)
    for i, (value, objective) in enumerate(zip(KNOB.grid(10), values, strict=False)):
        milder = [1.0, *(v for v in values[:i] if v is not None)]
        assert (value in records) == (objective is not None and all(better(objective, m) for m in milder))


@given(objectives, st.floats(0, 0.5))
def test_each_record_beats_the_last_by_more_than_the_noise(values, margin):
    records = [r.objective for r in profile(values, margin=margin).records()]

    for before, after in zip([1.0, *records], records, strict=False):
        assert after / before - 1 > margin


def test_slow_rises_add_up_to_records():
    values = [1.0 + 0.02 * i for i in range(10)]  # each step within the noise of 5 %

    assert [r.value for r in profile(values, margin=0.05).records()] == [0.3, 0.6, 0.9]  # 1.06, 1.12 (+5.7 %), 1.18


def test_smaller_is_better_when_minimised():
    found = profile([120, 100, 90, 95, 50], "minimize", reference=100.0)

    assert [(r.value, r.objective) for r in found.records()] == [(0.2, 90), (0.4, 50)]
    assert found.gain(50, 100) == 1.0


def test_order_of_measuring_does_not_matter():
    pairs = list(zip(KNOB.grid(10), [1.1, 1.5, 1.2, 2.0], strict=False))

    assert ObjectiveProfile.measured(KNOB, reversed(pairs), 1.0) == ObjectiveProfile.measured(KNOB, pairs, 1.0)


def test_profile_survives_json():
    before = profile([1.1, None, 2.0], margin=0.02)

    assert ObjectiveProfile.from_record(KNOB, before.to_record()) == before
    assert before.objective_at(0.2) == 2.0
    assert before.objective_at(0.1) is None and before.objective_at(0.5) is None


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_objectives_that_no_ratio_can_be_taken_of_are_refused(bad):
    with pytest.raises(UsageError, match="positive"):
        profile([1.0, bad])
    with pytest.raises(UsageError, match="the reference"):
        profile([1.0], reference=bad)
