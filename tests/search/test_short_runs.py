"""Readings of short runs: evidence for the level of whole ones whose bias is learned, never believed."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.integrate import quad

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search import Knob, LevelProblem, ObjectiveSurface, Observation, Reading, Space, belief_of
from condensa_core.search.semi_parametric import STEEPNESSES, Models, Readings, Shape, log_likelihood
from condensa_core.search.short_evidence import EXTRA_SD, SHIFTS, UNRELATED, ShortEvidence

LEVEL = 0.92
SPARSITIES = (0.5, 0.7, 0.8, 0.86)


def earlier(curve, shift):
    """The curve of runs whose collapse comes `shift` earlier in -ln(1 - s)."""
    return type(curve)(-math.expm1(math.log1p(-curve.knee) + shift), curve.steepness)


def short_readings(curve, shift, sparsities=SPARSITIES):
    return tuple(Observation.of({"s": s}, Reading(earlier(curve, shift)(s))) for s in sparsities)


def strength(sparsity):
    return -math.log1p(-sparsity)


def error(problem, search, curve, budget, **told):
    crossing = search(problem(count=400, **told), curve, budget).recommendation.crossing
    return abs(strength(0.97 if crossing is None else crossing) - strength(curve.crossing(LEVEL)))


def test_what_short_readings_say_is_their_likelihood_integrated_over_the_shift():
    readings = Readings(np.array([0.6, 1.2, 1.5]), np.array([0.8, 0.7, -2.0]), np.array([0.01, 0.01, 0.02]))
    shape, crossing = Shape(1.0, 80.0, 3.5), np.array([1.35, 1.6, 1.9, 2.3])
    steepness, offset, amplitude = float(STEEPNESSES[4]), 0.35, 0.25  # of the grid

    def models(at):
        at = np.atleast_1d(at)
        same = [np.full(len(at), value) for value in (steepness, offset, amplitude)]
        return Models(shape, at, *same, np.ones(len(at)))

    noisy = Readings(readings.t, readings.z, readings.variance + EXTRA_SD**2)
    top = float(log_likelihood(noisy, models(np.linspace(0, 3, 2000))).max())

    def over_the_shift(c):
        def density(shift, weight, start, to):
            return weight / (to - start) * math.exp(float(log_likelihood(noisy, models(c - shift))[0]) - top)

        related = sum(quad(density, start, to, args=(w, start, to), limit=200)[0] for w, start, to in SHIFTS)
        first, last = -1.5, 1.25 * shape.reach + 0.3  # wherever a crossing of short runs can lie
        return related + quad(lambda at: density(c - at, UNRELATED, first, last), first, last, limit=200)[0]

    said = ShortEvidence(readings, shape).log_weights(models(crossing))

    expected = np.log([over_the_shift(c) for c in crossing])
    # cells of 0.01 in t, which a likelihood as narrow as 0.05 fills
    np.testing.assert_allclose(said - said[0], expected - expected[0], atol=0.03)


def test_short_readings_save_whole_ones(problem, search, cliff):
    cold, helped = [], []
    for knee, shift in ((0.6, 0.2), (0.8, 0.45), (0.9, 0.3)):
        curve = cliff(knee, steepness=10)
        readings = short_readings(curve, shift, (0.4, 0.55, 0.7, 0.8, 0.86))
        cold.append(error(problem, search, curve, 2))
        helped.append(error(problem, search, curve, 2, short_readings=readings))

    assert np.mean(helped) < 0.5 * np.mean(cold)


def test_the_level_of_short_runs_is_not_taken_for_that_of_whole_ones(problem, cliff):
    curve = cliff(0.8, steepness=12)
    told = problem(short_readings=short_readings(curve, 0.3))
    of_short = strength(earlier(curve, 0.3).crossing(LEVEL))

    belief = belief_of(told, (), Seed())

    middle, early, late = (belief.crossing(p) * told.knob.reach - of_short for p in (0.5, 0.9, 0.1))
    assert 0.2 < middle < 0.45  # the middle of what is expected of a shift is 0.3
    assert early < 0.15 and late > 0.5


def test_whole_readings_tell_the_shift(problem, cliff):
    """With the whole curve measured, short readings no longer move the crossing, whatever their shift."""
    curve = cliff(0.8, steepness=12)
    truth = strength(curve.crossing(LEVEL))
    whole = [Observation.of({"s": s}, Reading(curve(s))) for s in (0.6, 0.7, 0.73, 0.75, 0.78)]

    for shift in (0.0, 0.3, 0.6):
        told = problem(short_readings=short_readings(curve, shift))
        assert belief_of(told, whole, Seed()).crossing() * told.knob.reach == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("shift", [1.2, -0.4])
def test_a_shift_that_nobody_expects_washes_out(problem, search, cliff, shift):
    curve = cliff(0.85, steepness=10)

    assert error(problem, search, curve, 6, short_readings=short_readings(curve, shift)) < 0.02


@pytest.mark.parametrize(
    ("knee", "shift", "sparsities"), [(0.93, 2.0, (0.3, 0.4, 0.5, 0.6)), (0.6, -2.0, (0.5, 0.8, 0.9, 0.96))]
)
def test_even_an_absurd_shift_is_unlearned(problem, search, cliff, knee, shift, sparsities):
    curve = cliff(knee, steepness=10)
    readings = short_readings(curve, shift, sparsities)

    assert error(problem, search, curve, 8) < 0.005
    assert error(problem, search, curve, 8, short_readings=readings) < 0.005


def test_whole_readings_outweigh_any_number_of_short_ones(problem, cliff):
    """Where both cannot be right the belief is that of the whole ones alone."""
    curve = cliff(0.93, steepness=10)
    whole = [Observation.of({"s": s}, Reading(curve(s))) for s in (0.6, 0.8, 0.88, 0.9, 0.92)]
    told = problem(short_readings=short_readings(curve, 2.2, tuple(np.linspace(0.2, 0.6, 12).tolist())))

    crossings = [belief_of(p, whole, Seed()).crossing() * p.knob.reach for p in (told, problem())]

    assert crossings[0] == pytest.approx(crossings[1], abs=0.02)


def test_failed_short_runs_say_nothing(problem, cliff):
    curve = cliff(0.8)
    whole = [Observation.of({"s": s}, Reading(curve(s))) for s in (0.6, 0.78)]
    units = np.linspace(0, 1, 40)[:, None]

    failed = problem(short_readings=(Observation.failed({"s": 0.9}, "diverged"),))

    for seen in ((), whole):
        bare, told = belief_of(problem(), seen, Seed()), belief_of(failed, seen, Seed())
        np.testing.assert_array_equal(told.probability_feasible(units), bare.probability_feasible(units))


def test_a_short_run_is_never_shipped(problem, search, cliff):
    curve = cliff(0.8)
    told = problem(short_readings=tuple(Observation.of({"s": s}, Reading(0.93)) for s in (0.5, 0.6, 0.7)))

    played = search(told, lambda s: min(curve(s), 0.9), budget=4)

    assert not played.recommendation.feasible


def test_a_suggestion_beside_short_readings_takes_less_than_half_a_second(problem, search, cliff):
    curve = cliff(0.8)
    told = problem(count=400, short_readings=short_readings(curve, 0.3))
    begun = time.process_time()

    trials = len(search(told, curve, budget=8).tried)

    assert time.process_time() - begun < 0.5 * (trials + 1)


def test_short_readings_belong_to_one_knob(problem):
    space = Space((Knob("a", range=(0.0, 0.9)), Knob("b", range=(0.0, 0.9))))
    sizes = ObjectiveSurface(space, reference=2.0, function=lambda p: 2 - p["a"] - p["b"], direction="minimize")
    reading = Observation.of({"a": 0.5, "b": 0.5}, Reading(0.9))

    with pytest.raises(UsageError, match="one knob"):
        LevelProblem(space, sizes, LEVEL, 0.93, short_readings=(reading,))
    with pytest.raises(UsageError, match="exactly the knobs"):
        problem(short_readings=(reading,))
