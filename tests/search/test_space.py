"""Knobs: every value has a place between the reference and the strongest setting."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import UsageError
from condensa_core.search import Knob, Space, point_key

ends = st.tuples(st.floats(-50, 50), st.floats(0.01, 100)).map(lambda x: (round(x[0], 3), round(x[0] + x[1], 3)))
directions = st.sampled_from(["high", "low"])
continuous = st.builds(lambda r, d: Knob("k", range=r, strongest=d), ends, directions)
sparsities = st.floats(0.05, 0.999).map(lambda high: Knob("k", range=(0.0, high)))
densities = st.floats(0.001, 0.9).map(lambda low: Knob("k", range=(low, 1.0), strongest="low"))
logs = st.builds(
    lambda low, factor, d: Knob("k", range=(low, low * factor), log=True, strongest=d),
    st.floats(0.01, 100),
    st.floats(1.5, 1000),
    directions,
)
stepped = st.builds(
    lambda low, step, n, d: Knob("k", range=(low, low + n * step), step=step, strongest=d),
    st.integers(-5, 5),
    st.sampled_from([1, 2, 0.1, 0.05]),
    st.integers(1, 30),
    directions,
)
ordinal = st.builds(
    lambda values, d: Knob("k", choices=tuple(values), strongest=d),
    st.lists(st.sampled_from(["fp32", "fp16", "int8", 4, 2]), min_size=1, unique=True),
    directions,
)
knobs = st.one_of(continuous, sparsities, densities, logs, stepped, ordinal)


@given(knobs, st.integers(2, 40))
def test_grid_runs_from_mild_to_strong_and_every_value_finds_itself(knob, count):
    grid = knob.grid(count)
    units = [knob.unit(value) for value in grid]

    assert 1 <= len(grid) <= max(count, len(knob.choices or ()))
    assert all(a < b for a, b in itertools.pairwise(units))
    assert units[0] >= -1e-9 and units[-1] <= 1 + 1e-9
    for value, unit in zip(grid, units, strict=True):
        assert math.isclose(knob.unit(knob.value(unit)), unit, abs_tol=1e-9)
        assert knob.value(unit) == value


@given(knobs, st.floats(-0.5, 1.5))
def test_decoded_values_lie_in_the_knob(knob, unit):
    value = knob.value(unit)

    if knob.choices is not None:
        assert value in knob.choices
    else:
        low, high = knob.range
        assert low - 1e-9 <= value <= high + 1e-9
        assert isinstance(value, int) == knob.is_integer


def test_equal_unit_steps_of_a_sparsity_divide_the_density_by_equal_factors():
    knob = Knob("s", range=(0.0, 0.99))

    densities = [1 - knob.value(unit) for unit in (0.0, 0.25, 0.5, 0.75, 1.0)]

    for before, after in itertools.pairwise(densities):
        assert after / before == pytest.approx(0.01**0.25, rel=2e-4)  # values have five figures


def test_a_density_is_the_mirror_of_its_sparsity():
    sparsity, density = Knob("s", range=(0.0, 0.9)), Knob("d", range=(0.1, 1.0), strongest="low")

    for s in (0.0, 0.3, 0.77, 0.9):
        assert sparsity.unit(s) == pytest.approx(density.unit(1 - s))


def test_reference_stands_before_the_mildest_value():
    assert Knob("s", range=(0.3, 0.9)).unit(0.0) == 0
    assert Knob("s", range=(0.3, 0.9)).unit(0.3) > 0
    assert [Knob("b", choices=("fp16", "int8")).unit(v) for v in ("fp16", "int8")] == [0.5, 1.0]
    assert Knob("r", range=(8, 64), step=8, strongest="low").unit(64) == pytest.approx(0.1 / 1.1)


def test_integer_knob_gives_integers():
    knob = Knob("rank", range=(4, 10), step=2)

    assert knob.grid(10) == (4, 6, 8, 10)
    assert all(type(value) is int for value in knob.grid(3))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"range": (0, 1), "choices": (1,)},
        {"range": (1, 1)},
        {"range": (0, float("inf"))},
        {"range": (0, 1), "log": True},
        {"range": (0, 1), "step": 0},
        {"range": (0, 1), "step": 2},
        {"choices": ()},
        {"choices": (1, 1)},
        {"choices": (1, 2), "step": 1},
    ],
)
def test_impossible_knobs_are_refused(settings):
    with pytest.raises(UsageError, match="'k'"):
        Knob("k", **settings)


def test_space_names_the_knobs_it_misses():
    space = Space((Knob("a", range=(0, 1)), Knob("b", choices=(1, 2))))

    assert space.decode(space.encode({"b": 2, "a": 0.25})) == {"a": 0.25, "b": 2}
    with pytest.raises(UsageError, match="'a', 'b'"):
        space.encode({"a": 0.1})
    with pytest.raises(UsageError, match="distinct"):
        Space((Knob("a", range=(0, 1)), Knob("a", range=(0, 1))))


def test_points_are_filed_by_value():
    assert point_key({"a": 1, "b": "x"}) == point_key({"b": "x", "a": 1}) != point_key({"a": 2, "b": "x"})
