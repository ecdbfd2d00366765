"""The objective over several knobs: exact where it was measured, sensible in between."""

from __future__ import annotations

import math

import numpy as np
import pytest

from condensa_core.errors import UsageError
from condensa_core.search import Knob, ObjectiveSurface, Space

SPACE = Space(
    (Knob("s", range=(0.0, 0.95)), Knob("r", range=(0.1, 1.0), strongest="low"), Knob("bits", choices=(32, 8)))
)


def product(point) -> float:
    """Log-linear in the unit coordinates: each knob divides the size by a power of what it leaves."""
    return (1 - point["s"]) ** -0.7 * point["r"] ** -0.4 * {32: 1.0, 8: 3.0}[point["bits"]]


def weighted(point) -> float:
    """A sum, and so not log-linear: two groups of weights."""
    return 1 / (0.6 * (1 - point["s"]) + 0.3 * point["r"] + 0.1)


def drawn(count: int, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [SPACE.decode(row) for row in rng.uniform(0, 1, (count, 3)).tolist()]


def units(points) -> np.ndarray:
    return np.array([SPACE.encode(p) for p in points])


def test_a_function_is_known_everywhere_and_not_estimated():
    surface = ObjectiveSurface(SPACE, 1.0, function=weighted)
    points = drawn(5)

    estimates = surface.estimate(units(points))

    np.testing.assert_allclose(estimates, [weighted(p) for p in points], rtol=1e-12)
    assert surface.at(points[0]) == weighted(points[0])


def test_a_measured_point_gives_what_was_measured_and_others_nothing():
    points = drawn(20)
    surface = ObjectiveSurface(SPACE, 1.0, tuple((p, weighted(p)) for p in points))

    assert surface.at(points[3]) == weighted(points[3])
    assert surface.at(drawn(1, seed=9)[0]) is None
    np.testing.assert_allclose(surface.estimate(units(points)), [weighted(p) for p in points], rtol=1e-3)


@pytest.mark.parametrize(("truth", "tolerance"), [(product, 0.02), (weighted, 0.05)])
def test_between_measured_points_the_estimate_is_near_the_truth(truth, tolerance):
    reference = truth({"s": 0.0, "r": 1.0, "bits": 32})
    surface = ObjectiveSurface(SPACE, reference, tuple((p, truth(p)) for p in drawn(40)))
    elsewhere = drawn(60, seed=1)

    errors = np.log(surface.estimate(units(elsewhere))) - np.log([truth(p) for p in elsewhere])

    assert np.median(np.abs(errors)) < tolerance


def test_points_that_could_not_be_measured_do_not_count():
    known = tuple((p, weighted(p)) for p in drawn(20))
    holes = tuple((p, None) for p in drawn(5, seed=2))

    with_holes = ObjectiveSurface(SPACE, 1.0, known + holes)

    expected = ObjectiveSurface(SPACE, 1.0, known).estimate(units(drawn(4, seed=3)))
    np.testing.assert_array_equal(with_holes.estimate(units(drawn(4, seed=3))), expected)
    assert with_holes.at(holes[0][0]) is None


def test_gain_counts_in_the_direction_of_the_objective():
    faster = ObjectiveSurface(SPACE, 1.0, function=weighted)
    smaller = ObjectiveSurface(SPACE, 100.0, function=weighted, direction="minimize")

    assert faster.gain(3.0, 2.0) == pytest.approx(0.5)
    assert smaller.gain(50.0, 100.0) == pytest.approx(1.0)


def test_a_record_makes_an_equal_surface():
    surface = ObjectiveSurface(SPACE, 2.0, tuple((p, weighted(p)) for p in drawn(5)), direction="minimize", name="size")

    again = ObjectiveSurface.from_record(SPACE, surface.to_record())

    assert again == surface


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"measured": ()}, "at least 3"),
        ({"function": weighted, "direction": "up"}, "direction"),
        ({"function": weighted, "reference": -1.0}, "positive"),
        ({"function": weighted, "reference": math.nan}, "positive"),
        ({"function": weighted, "margin": -0.1}, "margin"),
        ({"measured": tuple((p, 0.0) for p in drawn(4))}, "positive"),
    ],
)
def test_what_cannot_be_an_objective_is_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        ObjectiveSurface(SPACE, **{"reference": 1.0, **settings})
