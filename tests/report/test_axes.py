"""Round numbers on scales that are straight, logarithmic or given by points."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.report.axes import logarithmic, round_ticks, roundest, straight, through

finite = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("low", "high", "number"),
    [(0.93, 0.97, 0.95), (0.87, 0.93, 0.9), (-1, 2, 0), (17, 23, 20), (0.0012, 0.0013, 0.0012), (-7.2, -6.9, -7)],
)
def test_the_roundest_number(low, high, number):
    assert roundest(low, high) == number


@given(finite, finite)
def test_the_roundest_number_lies_inside(a, b):
    low, high = sorted((a, b))

    assert low <= roundest(low, high) <= high


@given(st.floats(0.01, 1e6), st.floats(1.01, 1e4))
def test_scales_lead_there_and_back(low, times):
    for scale in (straight(low, low * times), logarithmic(low, low * times)):
        for share in (0.0, 0.3, 1.0):
            assert scale.share(scale.value(share)) == pytest.approx(share, abs=1e-6)
        assert [scale.value(share) for share in (0.0, 1.0)] == pytest.approx([low, low * times])


def test_a_scale_through_points_is_straight_between_them_and_may_fall():
    scale = through([(0.0, 32.0), (0.5, 16.0), (1.0, 8.0)])

    assert [scale.value(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [32, 24, 16, 12, 8]
    assert [scale.share(value) for value in (32, 24, 12)] == [0.0, 0.25, 0.75]


def test_ticks_of_a_log_density_spread_the_high_end():
    marks = [(-math.log1p(-s) / -math.log(0.01), s) for s in [i / 1000 for i in range(991)]]

    ticks = round_ticks(through(marks), "{:g}".format, count=8)

    labels = [float(tick.label) for tick in ticks]
    assert labels == sorted(labels) and len(labels) >= 7
    assert sum(label >= 0.9 for label in labels) >= 3 and all(len(tick.label) <= 5 for tick in ticks)
    for tick in ticks:  # each stands where its number belongs
        assert tick.share == pytest.approx(-math.log1p(-float(tick.label)) / -math.log(0.01), abs=1e-3)


def test_a_range_of_nothing_is_still_an_axis():
    scale = straight(0.5, 0.5)

    assert scale.share(0.5) == 0.5
    assert round_ticks(scale, "{:g}".format)
