"""The tasks that searches are judged on: known crossings, the shape that is promised, and the spread of the study."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from curves import DROPS, NOISES, POINT, STRONGEST, curve, task
from families import LAWS

GRID = np.linspace(0, STRONGEST, 5001)
DRAWN = [curve(seed, law=seed % len(LAWS)) for seed in range(100)]


def test_crossing_is_exact_to_a_billionth_and_unique():
    for drawn, drop in product(DRAWN, DROPS):
        level = drawn.reference - drop

        crossing = drawn.crossing(level)

        np.testing.assert_array_equal(drawn(GRID) >= level, crossing >= GRID)
        if crossing < STRONGEST:
            assert drawn(crossing - 1e-9) >= level > drawn(crossing + 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_crossing_of_the_logistic_in_log_density_is_its_closed_form(seed):
    drawn = next(c for c in (curve(s, law=1) for s in range(seed * 50, seed * 50 + 50)) if c.bump == c.slope == 0)
    steepness, height = drawn.law.parameters["steepness"], drawn.reference - drawn.chance

    for drop in DROPS:
        share = drop / height + 1 / (1 + math.exp(steepness * drawn.start))
        expected = -math.expm1(-(drawn.start + math.log(share / (1 - share)) / steepness))

        assert drawn.crossing(drawn.reference - drop) == pytest.approx(min(expected, STRONGEST), abs=1e-9)


def test_curves_start_at_the_reference_lose_a_point_at_the_knee_and_fall_for_good_once_below_it():
    for drawn in DRAWN:
        accuracy = drawn(GRID)

        assert accuracy[0] == pytest.approx(drawn.reference, abs=1e-12)
        assert drawn.reference - drawn(drawn.knee) == pytest.approx(POINT + drawn.slope * drawn.knee, abs=1e-9)
        assert accuracy.max() <= drawn.reference + 0.005
        assert accuracy.min() >= drawn.chance
        beyond = accuracy[np.argmax(accuracy < drawn.reference - 1e-3) :] if accuracy.min() < drawn.reference else []
        assert (np.diff(beyond) <= 1e-12).all()


def test_crossings_spread_as_in_the_study():
    study = {0.005: (0.34, 0.77, 0.97), 0.05: (0.56, 0.86, 0.99)}  # quantiles 10, 50, 90 % of 200 curves
    drawn = [curve(1000 + i, law=i % len(LAWS)) for i in range(400)]

    for drop, quantiles in study.items():
        found = np.quantile([c.crossing(c.reference - drop) for c in drawn], (0.1, 0.5, 0.9))

        # medians have a standard error of 0.03 in the study and of 0.02 here
        np.testing.assert_allclose(found, quantiles, atol=0.08)


def test_half_the_curves_rise_before_they_fall():
    rising = np.mean([drawn.bump > 0 for drawn in DRAWN])

    assert 0.35 < rising < 0.65  # three standard errors of 100 draws


def test_eighty_tasks_meet_every_combination_of_noise_and_drop_in_every_family():
    tasks = [task(5, i) for i in range(80)]

    met = Counter((t.curve.family, t.noise, t.drop) for t in tasks)

    assert len(met) == len(LAWS) * len(NOISES) * len(DROPS)


def test_reading_is_the_curve_plus_noise_of_the_given_size_and_the_same_whenever_it_is_taken():
    drawn = next(t for t in (task(5, i) for i in range(20)) if t.noise == 0.003)
    errors = [drawn.reading(s) - float(drawn.curve(s)) for s in GRID[:2000]]

    assert drawn.reading(0.5) == task(5, drawn.index).reading(0.5) != task(6, drawn.index).reading(0.5)
    assert np.std(errors) == pytest.approx(drawn.noise, rel=0.06)  # 4 standard errors of a standard deviation
    assert abs(np.mean(errors)) < 4 * drawn.noise / math.sqrt(len(errors))
    assert task(5, 0).noise == 0 and task(5, 0).reading(0.4) == float(task(5, 0).curve(0.4))


def test_other_seeds_give_other_tasks():
    assert len({task(seed, index).crossing for seed in range(5) for index in range(5)}) == 25
