"""SCBO and noisy expected improvement over several knobs, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from condensa_core.randomness import Seed
from condensa_core.search import (
    Knob,
    LevelProblem,
    ObjectiveSurface,
    Observation,
    Reading,
    Search,
    Space,
    strategy_named,
)
from condensa_core.search.constraint_gp import fit_constraint_gp
from condensa_core.search.noisy_improvement import log_noisy_improvement
from condensa_core.search.scbo import SCBO, TrustRegion

LEVEL, DENSE = 0.9, 1.0
SPACE = Space((Knob("x", range=(0.0, 0.9)), Knob("y", range=(0.0, 0.9))))


def metric(point) -> float:
    x, y = SPACE.encode(point)
    return DENSE - 0.4 * x**2 - 0.9 * y**2


def gain(point) -> float:
    x, y = SPACE.encode(point)
    return float(np.exp(x + y))


def problem() -> LevelProblem:
    return LevelProblem(SPACE, ObjectiveSurface(SPACE, 1.0, function=gain), LEVEL, DENSE, noise_sd=1e-3)


def best_share(found) -> float:
    """Of the best of a fine grid: x = .44, y = .19 or so."""
    grid = [SPACE.decode([x, y]) for x in np.linspace(0, 1, 200) for y in np.linspace(0, 1, 200)]
    return gain(found) / max(gain(p) for p in grid if metric(p) >= LEVEL)


def trial(point) -> Observation:
    return Observation.of(point, Reading(metric(point)))


def played(method: str, budget: int) -> Search:
    search = Search(problem(), strategy_named(method, problem(), seed=Seed(4)), budget=budget)
    while asked := search.ask(2):
        for point in reversed(asked):
            search.tell(point, metric(point))
    return search


@pytest.mark.parametrize("method", ["scbo", "log-nei"])
def test_it_finds_a_good_feasible_point(method):
    found = played(method, 18).recommend()

    assert found.feasible and best_share(found.point) > 0.9


@pytest.mark.parametrize("method", ["scbo", "log-nei"])
def test_it_repeats_itself_exactly(method):
    first, second = played(method, 8), played(method, 8)

    assert [o.point for o in first.observations] == [o.point for o in second.observations]


def test_the_trust_region_doubles_after_three_successes_and_halves_after_patience():
    region = TrustRegion()

    grown = region.after(True, 4).after(True, 4).after(True, 4)
    shrunk = region
    for _ in range(4):
        shrunk = shrunk.after(False, 4)
    mixed = region.after(True, 4).after(True, 4).after(False, 4).after(True, 4)

    assert (grown.length, shrunk.length, mixed.length) == (1.6, 0.4, 0.8)
    assert (mixed.successes, mixed.failures) == (1, 0)


def test_a_region_that_has_become_too_small_starts_again():
    region = TrustRegion()
    lengths = []
    for _ in range(7 * 2):
        region = region.after(False, 2)
        lengths.append(region.length)

    assert lengths[-1] == 0.8 and min(lengths) == 0.8 / 2**6


def test_a_success_is_a_trial_that_beats_the_best_feasible_one():
    strategy = SCBO(problem(), seed=Seed(), initial=1)
    mild, wilder, ruined = (SPACE.decode(row) for row in ([0.1, 0.1], [0.3, 0.1], [0.9, 0.9]))

    after_success = strategy.region([trial(mild), trial(wilder)])
    after_failure = strategy.region([trial(mild), trial(ruined)])

    assert (after_success.successes, after_success.failures) == (1, 0)
    assert (after_failure.successes, after_failure.failures) == (0, 1)


def test_thompson_sampling_takes_the_best_that_a_sure_model_calls_feasible():
    rows = np.random.default_rng(0).uniform(0, 1, (40, 2))
    model = fit_constraint_gp(problem(), [trial(SPACE.decode(row)) for row in rows], Seed())
    points = [SPACE.decode(row) for row in rows]
    gains = np.log([gain(p) for p in points])

    chosen = model.thompson(rows, gains, 1, Seed(1))[0]

    feasible = [i for i, p in enumerate(points) if metric(p) >= LEVEL]
    assert chosen == max(feasible, key=lambda i: gains[i])


def test_noisy_improvement_prefers_what_is_better_and_feasible_over_either_alone():
    rows = np.random.default_rng(0).uniform(0, 1, (25, 2))
    observations = [trial(SPACE.decode(row)) for row in rows]
    gains = np.log([gain(o.point) for o in observations])
    model = fit_constraint_gp(problem(), observations, Seed())

    score = log_noisy_improvement(model, rows, gains, rows, np.empty((0, 2)), Seed())

    better_and_feasible, feasible_only, better_only = score(np.array([[0.43, 0.18], [0.05, 0.05], [0.9, 0.9]]))
    assert better_and_feasible > feasible_only and better_and_feasible > better_only
