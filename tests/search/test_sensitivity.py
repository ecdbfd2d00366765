"""Damages of single knobs, read from metrics of untrained candidates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from condensa_core.errors import UsageError
from condensa_core.search import Knob, LevelProblem, ObjectiveSurface, Space
from condensa_core.search.sensitivity import measured_sensitivity, typical_sensitivity

DENSE, CHANCE = 0.9, 0.1
SPACE = Space((Knob("a", range=(0.0, 0.95)), Knob("b", range=(0.0, 0.95)), Knob("c", range=(0.0, 0.95))))


def problem(noise: float = 1e-4) -> LevelProblem:
    surface = ObjectiveSurface(SPACE, 1.0, function=lambda p: 1 / (1.01 - p["a"]))
    return LevelProblem(SPACE, surface, DENSE - 0.01, DENSE, noise_sd=noise)


def logistic(unit: float, knee: float, steepness: float) -> float:
    """Loses half of what there is at `knee`; the damage l / (span - l) is e^(steepness (unit - knee))."""
    return CHANCE + (DENSE - CHANCE) / (1 + math.exp(steepness * (unit - knee)))


def readings(knee: float, steepness: float, units=(0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)) -> list:
    knob = SPACE.knobs[0]
    return [(knob.value(u), logistic(knob.unit(knob.value(u)), knee, steepness)) for u in units]


def at(units) -> np.ndarray:
    """The same coordinate for all three knobs."""
    return np.repeat(np.asarray(units, float)[:, None], 3, axis=1)


def test_the_log_damage_of_a_logistic_collapse_is_the_line_it_is_made_of():
    sensitivity = measured_sensitivity(problem(), {"a": readings(0.5, 12.0), "b": readings(0.8, 9.0)})
    places = np.array([0.15, 0.3, 0.5, 0.62])

    logs = sensitivity.log_damages(at(places))

    # the span is taken from the worst reading, 5 % wide of chance: 0.15 in log damage halfway, more beyond it
    np.testing.assert_allclose(logs[:, 0], 12 * (places - 0.5), atol=0.3)
    np.testing.assert_allclose(logs[:, 1], 9 * (places - 0.8), atol=0.3)


def test_a_knob_that_nobody_measured_is_like_the_others():
    sensitivity = measured_sensitivity(problem(), {"a": readings(0.4, 10.0), "b": readings(0.8, 10.0)})

    logs = sensitivity.log_damages(at([0.6]))[0]

    assert logs[1] < logs[2] < logs[0]


def test_the_reference_has_no_damage_and_damages_add_up():
    sensitivity = measured_sensitivity(problem(), {"a": readings(0.5, 12.0), "b": readings(0.8, 9.0)})
    alone = np.diag([0.4, 0.5, 0.3])

    total = sensitivity.damage(np.array([[0.4, 0.5, 0.3]]))

    assert sensitivity.damage(np.zeros((1, 3)))[0] == 0
    assert total[0] == pytest.approx(sensitivity.damage(alone).sum())


def test_more_strength_never_does_less_damage_whatever_the_noise():
    rng = np.random.default_rng(0)
    noisy = [(v, m + 0.003 * rng.standard_normal()) for v, m in readings(0.7, 12.0)]

    damage = measured_sensitivity(problem(0.003), {"a": noisy}).damage(at(np.linspace(0, 1, 50)))

    assert (np.diff(damage) >= -1e-12).all()


@pytest.mark.parametrize(
    "shown",
    [
        [(0.5, DENSE), (0.9, DENSE + 0.001)],  # harmless throughout
        [(0.3, 0.1), (0.6, 0.1), (0.9, 0.1)],  # ruined at the first reading
        [(0.5, 0.85)],  # a single reading
    ],
)
def test_readings_that_say_little_still_give_a_growing_finite_damage(shown):
    damage = measured_sensitivity(problem(), {"a": shown, "b": readings(0.5, 10.0)}).damage(at(np.linspace(0, 1, 11)))

    assert np.isfinite(damage).all()
    assert damage[0] == 0 and damage[-1] > 0


def test_without_any_reading_all_knobs_are_alike():
    logs = typical_sensitivity(problem()).log_damages(at([0.3, 0.8]))

    np.testing.assert_array_equal(logs[:, 0], logs[:, 1])
    assert (logs[1] > logs[0]).all()


def test_a_loss_counts_in_the_direction_in_which_the_metric_worsens():
    surface = ObjectiveSurface(SPACE, 1.0, function=lambda p: 1 / (1.01 - p["a"]))
    perplexity = LevelProblem(SPACE, surface, 11.0, 10.0, better="lower", noise_sd=1e-3)

    sensitivity = measured_sensitivity(perplexity, {"a": [(0.5, 12.0), (0.8, 30.0)]})

    damage = sensitivity.damage(np.array([[0.2, 0, 0], [SPACE.knobs[0].unit(0.8), 0, 0]]))
    assert 0 < damage[0] < damage[1]


@pytest.mark.parametrize(
    ("shown", "said"), [({"d": [(0.5, 0.8)]}, "no such knob"), ({"a": [(0.5, math.nan)]}, "finite")]
)
def test_readings_of_something_else_are_refused(shown, said):
    with pytest.raises(UsageError, match=said):
        measured_sensitivity(problem(), shown)
