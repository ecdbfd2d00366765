"""The default search at every edge: where the level may lie, what trials may do, and how little may be asked."""

from __future__ import annotations

import json
import math
from random import Random

import pytest

from condensa_core.errors import RunFailed
from condensa_core.search import (
    Journal,
    Knob,
    LevelProblem,
    LevelSetSearch,
    ObjectiveProfile,
    Reading,
    Search,
    Space,
    find_level,
)

LEVEL = 0.92


def line(crossing, slope=2.0):
    """Accuracy that is flat, then falls straight through the level at a sparsity."""
    return lambda s: min(0.93, LEVEL - slope * (s - crossing))


@pytest.mark.parametrize("crossing", [0.05, 0.08, 0.14])
def test_crossing_below_fifteen_percent(problem, search, crossing):
    asked = problem(count=400)

    found = search(asked, line(crossing), budget=8).recommendation

    best = max(r.objective for r in asked.records if line(crossing)(r.value) >= LEVEL)
    assert found.feasible and found.point["s"] <= crossing
    assert asked.profile.at(found.point) >= 0.94 * best  # below a gain of a few percent the stop rule spends no more


@pytest.mark.parametrize("metric", [0.93, 0.9305, 0.921])
def test_a_constant_metric_that_holds_goes_to_the_strongest(problem, search, metric):
    found = search(problem(count=100), lambda s: metric, budget=8)

    assert found.recommendation.point == {"s": 0.97} and found.recommendation.feasible
    assert len(found.tried) <= 6


def test_a_hole_before_the_knee_costs_objective_but_never_ships_the_hole(problem, search):
    asked = problem(count=200)

    for centre in (0.3, 0.5, 0.7):

        def holed(s, centre=centre):
            return 0.905 if abs(s - centre) < 0.03 else line(0.85)(s)

        found = search(asked, holed, budget=8).recommendation

        assert found.feasible and holed(found.point["s"]) >= LEVEL


@pytest.mark.parametrize("budget", [1, 2, 3])
@pytest.mark.parametrize("crossing", [0.1, 0.6, 0.96])
def test_a_small_budget_never_ships_what_breaks_the_bound(problem, search, budget, crossing):
    played = search(problem(count=200), line(crossing), budget=budget)

    assert len(played.tried) <= budget
    assert not played.recommendation.feasible or line(crossing)(played.recommendation.point["s"]) >= LEVEL
    assert played.recommendation.point is not None


@pytest.mark.parametrize("seed", range(3))
def test_trials_that_diverge_are_left_out_and_the_level_found_all_the_same(problem, seed, tmp_path):
    draw, asked = Random(seed), problem(count=200)

    def diverging(trial):
        if draw.random() < 0.25:
            raise RunFailed("the loss became NaN")
        return Reading(math.nan if draw.random() < 0.1 else line(0.8)(trial.point["s"]))

    with Journal(tmp_path / "trials.jsonl", "f") as journal:
        found = find_level(diverging, Search(asked, LevelSetSearch(asked), budget=10), journal)

    assert found.feasible and 0.74 < found.point["s"] <= 0.8


def test_a_run_far_below_its_neighbours_does_not_end_the_search(problem, search):
    unlucky = {"left": 1}

    def metric(s):
        if 0.5 < s < 0.75 and unlucky["left"]:
            unlucky["left"] -= 1
            return line(0.85)(s) - 0.05
        return line(0.85)(s)

    found = search(problem(count=200), metric, budget=10).recommendation

    assert found.feasible and line(0.85)(found.point["s"]) >= LEVEL


def test_a_space_of_choices_alone_is_searched_and_restored():
    knob = Knob("dtype", choices=("fp32", "fp16", "int8", "int4", "int2"))
    sizes = dict(zip(knob.choices, (100, 50, 25, 13, 7), strict=True))
    accuracy = dict(zip(knob.choices, (0.93, 0.93, 0.928, 0.6, 0.1), strict=True))
    problem = LevelProblem(Space((knob,)), ObjectiveProfile.measured(knob, sizes.items(), 101, "minimize"), 0.92, 0.93)

    search = Search(problem, LevelSetSearch(problem), budget=9)
    while points := search.ask():
        again = Search(problem, LevelSetSearch(problem), budget=9)
        again.restore(json.loads(json.dumps(search.state())))
        assert again.pending == points
        search.tell(points[0], accuracy[points[0]["dtype"]])
        again.tell(points[0], accuracy[points[0]["dtype"]])
        assert again.stopped() == search.stopped()

    assert search.recommend().point == {"dtype": "int8"}
    assert search.recommend().bracket == ("int8", "int4")
    assert len(search.observations) <= 4


def test_a_constant_objective_needs_no_trial():
    knob = Knob("s", range=(0.0, 0.9))
    profile = ObjectiveProfile.measured(knob, [(s, 1.0) for s in knob.grid(50)], 1.0, name="latency")
    problem = LevelProblem(Space((knob,)), profile, 0.92, 0.93)
    search = Search(problem, LevelSetSearch(problem), budget=5)

    assert search.ask() == ()
    assert search.stopped() == "no setting on this grid has a better latency than the reference"


@pytest.mark.parametrize("drop", [0.0, -0.01])
def test_a_bound_at_or_above_the_reference_is_searched_too(drop, search):
    knob = Knob("s", range=(0.0, 0.97))
    profile = ObjectiveProfile.measured(knob, [(s, 1 / (1.05 - s)) for s in knob.grid(100)], 1.0)
    problem = LevelProblem(Space((knob,)), profile, 0.93 - drop, 0.93, noise_sd=1e-3)

    found = search(problem, lambda s: 0.945 - max(0.0, s - 0.5), budget=8).recommendation

    assert found.feasible and 0.945 - max(0.0, found.point["s"] - 0.5) >= problem.level
