"""The allocation curve against every combination of its levels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from condensa_core.search import Knob, ObjectiveSurface, Space
from condensa_core.search.allocation import allocation_curve, uniform_curve
from condensa_core.search.known_objective import log_gains

TWO = Space((Knob("a", range=(0.0, 0.95)), Knob("b", range=(0.0, 0.95))))
MIXED = Space(
    (Knob("a", range=(0.0, 0.9), step=0.05), Knob("n", range=(1, 16), step=1), Knob("bits", choices=(32, 16, 8)))
)


def size(point) -> float:
    return 0.7 * (1 - point["a"]) + 0.3 * (1 - point["b"])


def damage(units: np.ndarray) -> np.ndarray:
    """Convex and separable; the second knob is the more sensitive."""
    return np.expm1(5 * units[:, 0]) + np.expm1(9 * units[:, 1])


def smaller(space: Space, function) -> ObjectiveSurface:
    reference = function(space.decode([0.0] * len(space.knobs)))
    return ObjectiveSurface(space, reference, function=function, direction="minimize")


def test_no_combination_of_levels_gains_as_much_with_clearly_less_damage():
    objectives = smaller(TWO, size)
    lattice = np.array(list(itertools.product(np.linspace(0, 1, 121), repeat=2)))
    gains, damages = log_gains(objectives, lattice), damage(lattice)

    curve = allocation_curve(TWO, objectives, damage)

    for gain, spent in zip(curve.gains, damage(curve.units), strict=True):
        cheapest = damages[gains >= gain].min()
        assert spent <= 1.1 * cheapest + 0.05  # a step of one level changes the damage by up to 8 %


def test_at_its_points_marginal_damage_per_gain_is_equal_for_both_knobs():
    objectives = smaller(TWO, size)
    curve = allocation_curve(TWO, objectives, damage)
    inside = [row for row in curve.units if (row > 0.05).all() and (row < 0.95).all()]
    step = 0.01  # values are rounded to five figures

    for row in inside:
        prices = []
        for knob in range(2):
            more = row + step * np.eye(2)[knob]
            gained = np.diff(log_gains(objectives, np.array([row, more])))[0]
            prices.append(np.diff(damage(np.array([row, more])))[0] / gained)
        assert 0.8 < prices[0] / prices[1] < 1.25  # one level of the more sensitive knob changes its price by 8 %

    assert len(inside) > 50


def test_gains_grow_strictly_and_the_strongest_point_is_the_corner():
    curve = allocation_curve(TWO, smaller(TWO, size), damage)

    assert (np.diff(curve.gains) > 0).all() and curve.gains[0] > 0
    np.testing.assert_allclose(curve.units[-1], 1.0)
    assert curve.strengths[-1] == 1.0
    np.testing.assert_array_equal(curve.at(0.0), curve.units[0])
    np.testing.assert_array_equal(curve.at(1.0), curve.units[-1])


def test_a_staircase_of_the_objective_is_climbed():
    def stairs(point) -> float:
        return np.ceil(8 * (1 - point["a"])) / 8 + np.ceil(4 * (1 - point["b"])) / 4

    objectives = smaller(TWO, stairs)

    curve = allocation_curve(TWO, objectives, damage)

    assert 5 <= len(curve.gains) <= 12  # eight and four stairs, some taken together
    np.testing.assert_allclose(curve.gains[-1], np.log(2 / (1 / 8 + 1 / 4)))


def test_every_point_of_a_mixed_space_is_one_of_its_values():
    def count(point) -> float:
        return (1 - point["a"]) * (20 - point["n"]) * point["bits"]

    curve = allocation_curve(MIXED, smaller(MIXED, count), lambda u: (u**2).sum(axis=1))

    for row in curve.units:
        np.testing.assert_allclose(MIXED.encode(MIXED.decode(row)), row, atol=1e-9)
    assert len(np.unique(curve.units[:, 2])) == 3


def test_the_uniform_curve_gives_all_knobs_the_same_coordinate():
    curve = uniform_curve(TWO, smaller(TWO, size))

    np.testing.assert_array_equal(curve.units[:, 0], curve.units[:, 1])
    assert (np.diff(curve.gains) > 0).all()


@pytest.mark.parametrize("make", [uniform_curve, lambda s, o: allocation_curve(s, o, damage)])
def test_an_objective_that_never_improves_has_an_empty_curve(make):
    curve = make(TWO, ObjectiveSurface(TWO, 1.0, function=lambda point: 1.0))

    assert len(curve.units) == len(curve.gains) == len(curve.strengths) == 0
