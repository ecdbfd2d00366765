"""Several trials at once: how a batch is laid, answers in any order, and what pending trials are worth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.randomness import Seed
from condensa_core.search import Knob, LevelProblem, LevelSetSearch, ObjectiveProfile, Search, Space, Told, belief_of


def small_problem(count=40, **settings):
    knob = Knob("s", range=(0.0, 0.97))
    profile = ObjectiveProfile.measured(knob, [(s, 1 / (1.05 - s)) for s in knob.grid(count)], 1.0)
    return LevelProblem(Space((knob,)), profile, 0.92, 0.93, **{"noise_sd": 0.001, **settings})


def probability(problem, observations, points):
    units = np.array([problem.units(point) for point in points])
    return belief_of(problem, observations, Seed()).probability_feasible(units)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_first_batch_divides_the_crossing_into_equal_parts(count):
    problem = small_problem(count=400)

    points = LevelSetSearch(problem).propose(Told(), count)

    expected = [1 - (i + 1) / (count + 1) for i in range(count)]
    # 400 settings over a crossing that is spread nearly evenly: a step is worth 0.003
    np.testing.assert_allclose(probability(problem, (), points), expected, atol=0.004)


def test_a_point_asked_for_while_others_run_halves_the_widest_part():
    problem = small_problem(count=400)
    strategy = LevelSetSearch(problem)
    pending = strategy.propose(Told(), 2)

    (third,) = strategy.propose(Told(pending=pending), 1)

    assert probability(problem, (), [third])[0] in (pytest.approx(5 / 6, abs=0.01), pytest.approx(1 / 2, abs=0.01))


@pytest.mark.parametrize("q", [2, 4])
@pytest.mark.parametrize("knee", [0.5, 0.8])
def test_answers_in_any_order_lead_to_the_same_points_and_a_good_one(cliff, q, knee):
    curve, problem = cliff(knee), small_problem(count=200)
    runs = []
    for order in (slice(None), slice(None, None, -1)):
        search = Search(problem, LevelSetSearch(problem), budget=3 * q if q == 4 else 8)
        batches = []
        while points := search.ask(q):
            batches.append(points)
            for point in points[order]:
                search.tell(point, curve(point["s"]))
        runs.append((batches, search.recommend()))

    (batches, found), (again, found_again) = runs
    tried = [point["s"] for point in itertools.chain(*batches)]
    best = max(r.objective for r in problem.records if curve(r.value) >= 0.92)
    assert again == batches and found_again.point == found.point
    assert len(set(tried)) == len(tried) <= 12
    assert found.feasible and curve(found.point["s"]) >= 0.92
    assert problem.profile.at(found.point) >= 0.9 * best


@given(st.randoms(use_true_random=False), st.integers(2, 4))
@settings(max_examples=4, deadline=None)
def test_trials_that_overlap_are_never_repeated_and_keep_to_the_budget(random, workers):
    problem = small_problem()
    search = Search(problem, LevelSetSearch(problem), budget=7)
    asked, running = [], []
    while True:
        new = search.ask(workers - len(running)) if len(running) < workers else ()
        asked += new
        running += new
        if not running:
            break
        ended = running.pop(random.randrange(len(running)))
        fails = random.random() < 0.2
        search.tell(ended, None if fails else 0.93 - max(0, ended["s"] - 0.6))

    assert len({p["s"] for p in asked}) == len(asked) <= 7
    assert search.stopped()


def expected_best(records, p, safe):
    """E[best objective among `records` that hold, or `safe`], the metric falling with strength; by its crossing."""
    ordered = sorted(records, key=lambda r: r.value)
    total = safe * (1 - p[ordered[0]])
    for record, stronger in itertools.zip_longest(ordered, ordered[1:]):
        total += max(record.objective, safe) * (p[record] - (p[stronger] if stronger else 0.0))
    return total


@pytest.mark.parametrize("knee", [0.5, 0.75])
def test_a_later_batch_maximises_the_expected_best_of_all_that_run(cliff, knee):
    problem = small_problem(noise_sd=0.002)
    search = Search(problem, LevelSetSearch(problem), budget=20)
    for _ in range(3):
        (point,) = search.ask()
        search.tell(point, cliff(knee)(point["s"]))
    found = search.recommend()
    safe = problem.profile.at(found.point) if found.feasible else 1.0
    points = [{"s": r.value} for r in problem.records]
    units = np.array([problem.units(point) for point in points])
    belief = belief_of(problem, search.observations, Seed())
    p = dict(zip(problem.records, belief.probability_clear(units), strict=True))
    untried = [r for r in problem.records if {"s": r.value} not in [o.point for o in search.observations]]

    batch = [point["s"] for point in search.ask(3)]

    chosen, reached = [], safe
    for _ in range(3):
        scores = [expected_best([*chosen, r], p, safe) for r in untried]
        if chosen and max(scores) - reached <= 0.003 * safe:
            break  # beside those that run, it is not worth a training
        reached = max(scores)
        chosen.append(untried[int(np.argmax(scores))])
        untried.remove(chosen[-1])
    assert batch == [r.value for r in chosen]
