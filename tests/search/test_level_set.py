"""The level-set search on curves whose answer is known, and at every edge."""

from __future__ import annotations

import math
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search import (
    GridSearch,
    Knob,
    LevelProblem,
    LevelSetSearch,
    ObjectiveProfile,
    Observation,
    RandomSearch,
    Reading,
    Search,
    Space,
    Told,
    belief_of,
    strategy_named,
)
from condensa_core.search.space import point_key

SHARPEST = 0.97


def test_always_feasible_ends_at_the_strongest(problem, search):
    played = search(problem(count=12), lambda s: 0.93, budget=12)

    assert played.recommendation.feasible
    assert played.recommendation.point == {"s": SHARPEST}
    assert played.recommendation.bracket == (SHARPEST, None)
    assert played.recommendation.crossing is None
    assert len(played.tried) <= 6


def test_only_the_reference_feasible_is_said_so(problem, search):
    played = search(problem(), lambda s: 0.5, budget=8)

    found = played.recommendation
    assert not found.feasible
    assert found.point is not None and found.bracket[0] is None
    assert found.bracket[1] == min(played.tried)
    assert "nearest misses it by 0.42" in found.reason


def test_cliff_is_found_from_its_safe_side(problem, search):
    curve_problem = problem(count=40)
    played = search(curve_problem, lambda s: 0.93 if s <= 0.8 else 0.1, budget=10)

    best = max((r for r in curve_problem.records if r.value <= 0.8), key=lambda r: r.objective)
    chosen = curve_problem.profile.at(played.recommendation.point)
    assert played.recommendation.feasible
    assert 0.95 * best.objective <= chosen <= best.objective
    assert played.recommendation.bracket[1] > 0.8


def test_dip_below_a_pass_does_not_end_the_search(problem, search):
    level_knee = 0.9

    def dipped(s):
        return 0.915 if 0.5 < s < 0.6 else (0.93 if s <= level_knee else 0.1)

    played = search(problem(count=40), dipped, budget=10)

    assert played.recommendation.feasible
    assert 0.85 < played.recommendation.point["s"] <= level_knee


def test_crossing_close_to_the_reference(problem, search, cliff):
    curve = cliff(0.2, steepness=25)
    played = search(problem(count=200), curve, budget=8)

    assert played.recommendation.feasible
    assert 0.0 <= curve.crossing(0.92) - played.recommendation.point["s"] < 0.03


def test_loss_is_the_mirror_of_accuracy(problem, search, cliff):
    higher = search(problem(), cliff(0.8), budget=6)
    lower = search(problem(better="lower"), lambda s: -cliff(0.8)(s), budget=6)

    assert lower.tried == higher.tried
    assert lower.recommendation.point == higher.recommendation.point
    assert lower.recommendation.feasible


def test_nothing_better_than_the_reference_costs_no_trial():
    knob = Knob("s", range=(0.0, 0.9))
    profile = ObjectiveProfile.measured(knob, [(s, 0.9) for s in knob.grid(10)], 1.0, name="throughput")
    problem = LevelProblem(Space((knob,)), profile, 0.9, 0.92)
    search = Search(problem, LevelSetSearch(problem), budget=5)

    assert search.ask() == ()
    found = search.recommend()
    assert found.point is None and not found.feasible
    assert found.reason == "no setting on this grid has a better throughput than the reference"


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_small_budgets_are_kept_and_answered(problem, search, cliff, budget):
    played = search(problem(), cliff(0.8), budget=budget)

    assert len(played.tried) == budget
    assert played.recommendation.trials == budget
    assert played.recommendation.point is not None
    assert f"budget of {budget}" in played.search.stopped()


@given(st.floats(0.1, 0.95), st.sampled_from([0.0, 0.002]), st.integers(0, 5))
@settings(max_examples=5, deadline=None)
def test_no_suggestion_is_a_repeat_or_outside_the_bracket(knee, noise, seed):
    from random import Random

    knob = Knob("s", range=(0.0, 0.97))
    profile = ObjectiveProfile.measured(knob, [(s, 1 / (1.05 - s)) for s in knob.grid(60)], 1.0)
    draw = Random(seed)
    problem = LevelProblem(Space((knob,)), profile, 0.92, 0.93, noise_sd=0.001)
    search = Search(problem, LevelSetSearch(problem), budget=6)
    records = {r.value for r in profile.records()}
    tried = []
    while points := search.ask():
        (point,) = points
        holds, fails = search.recommend().bracket
        assert point["s"] in records and point["s"] not in tried
        assert (holds or 0) < point["s"] < (fails or 1)
        tried.append(point["s"])
        accuracy = (0.93 if point["s"] < knee else 0.93 - 3 * (point["s"] - knee)) + draw.gauss(0, noise)
        search.tell(point, accuracy)


def test_same_seed_same_sequence_and_a_told_journal_continues_it(problem, search, cliff):
    played = search(problem(), cliff(0.7), budget=5)
    again = search(problem(), cliff(0.7), budget=5)

    assert again.tried == played.tried
    for done in range(len(played.tried)):
        fresh = Search(problem(), LevelSetSearch(problem()), budget=5)
        fresh.restore({"observations": [o.to_record() for o in played.search.observations[:done]], "pending": []})
        assert fresh.ask() == ({"s": played.tried[done]},)


def test_failed_trial_is_left_out_and_never_asked_again(problem, cliff):
    search = Search(problem(), LevelSetSearch(problem()), budget=6)
    (first,) = search.ask()
    search.tell(first, float("nan"))

    points = [first]
    while asked := search.ask():
        assert asked[0] not in points
        points += asked
        search.tell(asked[0], cliff(0.8)(asked[0]["s"]))
    found = search.recommend()

    assert len(points) >= 5
    assert found.feasible and found.point != first
    assert all(abs(p["s"] - first["s"]) > 0.001 for p in points[1:])  # a neighbour would diverge alike


def test_only_failures_are_reported_with_the_last_cause(problem):
    search = Search(problem(), LevelSetSearch(problem()), budget=2)
    for cause in ("NaN", "out of memory"):
        search.tell(*search.ask(), failure=cause)

    found = search.recommend()

    assert search.ask() == ()
    assert found.point is None and found.reason == "all 2 trials failed; the last: out of memory"


@pytest.mark.parametrize(
    ("aborted", "reason"),
    [
        (2, "all 2 trials were given up early; the last: hopeless"),
        (1, "no trial reached its end: 1 given up early, 1 failed; the last: hopeless"),
    ],
)
def test_trials_given_up_are_not_called_failed(problem, aborted, reason):
    search = Search(problem(), LevelSetSearch(problem()), budget=2)
    for number in range(2):
        (point,) = search.ask()
        given_up = Observation(point, "aborted", 0.1, 0.01, failure="hopeless")
        search.tell_observation(given_up if number >= 2 - aborted else Observation.failed(point, "NaN"))

    found = search.recommend()

    assert found.point is None and found.reason == reason


def test_narrow_passes_within_the_noise_are_not_shipped(problem):
    noisy = problem(noise_sd=0.01)
    search = Search(noisy, LevelSetSearch(noisy), budget=3)
    for s, accuracy in ((0.8, 0.921), (0.85, 0.9), (0.75, 0.905)):  # the level is 0.92
        search.tell({"s": s}, accuracy)

    found = search.recommend()

    assert not found.feasible
    assert found.point == {"s": 0.8}
    assert found.probability < 0.7
    assert "narrowly" in found.reason


def test_best_objective_of_the_confident_is_shipped_not_the_strongest():
    knob = Knob("s", range=(0.0, 0.9), step=0.1)
    profile = ObjectiveProfile.measured(knob, [(s, 1 + s) for s in knob.grid(10)], 1.0)
    problem = LevelProblem(Space((knob,)), profile, 0.9, 0.93, noise_sd=0.001)
    search = Search(problem, GridSearch(problem, count=9), budget=9)
    for s, accuracy, measured in ((0.5, 0.93, 2.5), (0.7, 0.92, 1.6), (0.8, 0.5, 9.0)):
        search.tell({"s": s}, accuracy, objective=measured)

    assert search.recommend().point == {"s": 0.5}  # the finished candidate's own objective counts


def test_far_apart_the_better_objective_is_shipped_and_close_by_the_likelier_to_hold():
    knob = Knob("s", range=(0.0, 0.9), step=0.1)

    def shipped(faster):
        profile = ObjectiveProfile.measured(knob, [(0.5, 2.0), (0.6, faster)], 1.0)
        problem = LevelProblem(Space((knob,)), profile, 0.9, 0.93, noise_sd=0.005)
        search = Search(problem, GridSearch(problem, count=2), budget=3)
        search.tell({"s": 0.5}, 0.93)
        search.tell({"s": 0.6}, 0.906)  # above the level by 1.2 of its noise
        found = search.recommend()
        assert 0.7 < found.probabilities[point_key({"s": 0.6})] < found.probabilities[point_key({"s": 0.5})]
        return found.point["s"]

    assert shipped(faster=2.02) == 0.5
    assert shipped(faster=2.6) == 0.6


def test_the_record_that_halves_the_probability_is_tried_not_the_nearest_in_strength():
    knob = Knob("s", range=(0.0, 0.99))
    profile = ObjectiveProfile.measured(knob, [(0.801, 2.0), (0.85, 3.0), (0.95, 4.0)], 1.0)
    problem = LevelProblem(Space((knob,)), profile, 0.9, 0.93)
    told = Told(tuple(Observation.of({"s": s}, Reading(y)) for s, y in ((0.95, 0.1), (0.8, 0.91))))

    (point,) = LevelSetSearch(problem).propose(told, 1)

    belief = belief_of(problem, told.observations, Seed())
    milder, stronger = belief.probability_feasible(np.array([[knob.unit(0.801)], [knob.unit(0.85)]]))
    assert milder > 0.95 and 0.15 < stronger < 0.5  # one is known to hold, though it is nearer to the crossing
    assert belief.crossing() - knob.unit(0.801) < knob.unit(0.85) - belief.crossing()
    assert point == {"s": 0.85}


@pytest.mark.parametrize(("reading", "doubted"), [(0.9032, True), (0.93, False)])
def test_little_is_left_to_win_but_what_would_ship_is_doubted(reading, doubted):
    knob = Knob("s", range=(0.0, 0.99))
    grid = [(0.3, 1.2), (0.7, 2.0), (0.72, 2.001), (0.9, 2.002), (0.95, 2.003)]
    problem = LevelProblem(Space((knob,)), ObjectiveProfile.measured(knob, grid, 1.0), 0.9, 0.93, noise_sd=0.004)
    readings = ((0.3, 0.93), (0.7, reading), (0.9, 0.7), (0.95, 0.3))
    told = Told(tuple(Observation.of({"s": s}, Reading(y)) for s, y in readings))

    said = LevelSetSearch(problem).finished(told)

    assert (said is None) == doubted


@pytest.mark.parametrize(("least_gain", "stops"), [(None, [False, True]), (0.001, [False, False]), (0.1, [True, True])])
def test_a_small_gain_is_worth_a_trial_while_there_were_few(least_gain, stops):
    knob = Knob("s", range=(0.0, 0.99))
    held = [(0.1, 1.05), (0.2, 1.1), (0.3, 1.2), (0.4, 1.3), (0.5, 1.5), (0.6, 1.7), (0.7, 2.0)]
    profile = ObjectiveProfile.measured(knob, [*held, (0.705, 2.012), (0.95, 2.02)], 1.0)
    problem = LevelProblem(Space((knob,)), profile, 0.9, 0.93, noise_sd=0.001)
    told = [Observation.of({"s": s}, Reading(0.93)) for s, _ in held]
    told.insert(0, Observation.of({"s": 0.95}, Reading(0.6)))
    strategy = LevelSetSearch(problem, least_gain=least_gain)

    assert [strategy.finished(Told(tuple(told[:1] + told[-n:]))) is not None for n in (6, 7)] == stops


@pytest.mark.parametrize("depth", [20, 77])
def test_how_deep_a_collapsed_trial_lies_does_not_overrule_readings_near_the_level(problem, depth):
    asked = problem(noise_sd=0.01)  # as much as the drop
    near = [(0.15, 1.0), (0.27, 0.5), (0.28, -0.2), (0.3, 0.4), (0.54, -3.8)]
    units = np.array([[asked.knob.unit(-math.expm1(-t))] for t in (0.2, 0.25, 0.3, 0.35)])

    def said(readings):
        told = [Observation.of({"s": -math.expm1(-t)}, Reading(0.92 + 0.01 * z)) for t, z in readings]
        return belief_of(asked, told, Seed()).probability_feasible(units)

    # taken at its word, a collapse of 20 drops moves it by 0.7 (it must be a slow one, so it began early)
    assert np.abs(said([*near, (1.27, -depth)]) - said(near)).max() < 0.45


def test_misaligned_steps_of_the_objective_are_never_trained(search):
    knob = Knob("s", range=(0.0, 0.95), step=0.05)
    staircase = [(s, (1 / (1.02 - round(s * 5) / 5)) * (0.9 if i % 2 else 1.0)) for i, s in enumerate(knob.grid(30))]
    profile = ObjectiveProfile.measured(knob, staircase, 1.2)
    records = {r.value for r in profile.records()}

    played = search(LevelProblem(Space((knob,)), profile, 0.9, 0.93, noise_sd=1e-4), lambda s: 0.93 if s < 0.7 else 0.2)

    best = max((r for r in profile.records() if r.value < 0.7), key=lambda r: r.objective)
    assert set(played.tried) <= records
    assert played.recommendation.point == {"s": best.value}
    assert len(played.tried) <= 2 + len(records).bit_length()


def test_choices_are_searched_in_their_order(search):
    knob = Knob("dtype", choices=("fp32", "fp16", "int8", "int4", "int2"))
    sizes = dict(zip(knob.choices, (100, 50, 25, 13, 7), strict=True))
    profile = ObjectiveProfile.measured(knob, sizes.items(), 101, "minimize")
    accuracy = dict(zip(knob.choices, (0.93, 0.93, 0.928, 0.6, 0.1), strict=True))

    played = search(LevelProblem(Space((knob,)), profile, 0.92, 0.93), accuracy.__getitem__)

    assert played.recommendation.point == {"dtype": "int8"}
    assert played.recommendation.bracket == ("int8", "int4")


def test_metric_may_never_have_met_the_level_at_the_reference(problem, search):
    hard = problem()
    hard = LevelProblem(hard.space, hard.profile, level=0.95, reference_metric=0.93, noise_sd=1e-3)

    played = search(hard, lambda s: 0.96 if s < 0.3 else 0.9, budget=8)

    assert played.recommendation.feasible
    assert played.recommendation.point["s"] < 0.3


def test_two_knobs_and_unknown_names_are_refused(problem):
    a, b = Knob("a", range=(0, 0.9)), Knob("b", range=(0, 0.9))
    profile = ObjectiveProfile.measured(a, [(0.5, 2.0)], 1.0)

    with pytest.raises(UsageError, match="the profile is of knob 'a', the space of 'a', 'b'"):
        LevelProblem(Space((a, b)), profile, 0.9, 0.93)
    with pytest.raises(UsageError, match="did you mean 'level-set'"):
        strategy_named("level_set", problem(), seed=Seed(0))
    with pytest.raises(UsageError, match="at least 1 trial"):
        Search(problem(), LevelSetSearch(problem()), budget=0)


@pytest.mark.parametrize("method", ["level-set", "grid", "random"])
def test_every_method_answers_through_the_same_interface(problem, playing, cliff, method):
    strategy = strategy_named(method, problem(count=30), seed=Seed(1), trials=6)
    played = playing(problem(count=30), strategy, cliff(0.85), budget=6)

    assert 1 <= len(played.tried) == len(set(played.tried)) <= 6
    assert played.search.stopped()
    assert played.recommendation.feasible
    assert cliff(0.85)(played.recommendation.point["s"]) >= 0.92


def test_grid_spreads_over_the_records_and_random_follows_its_seed(problem):
    records = [r.value for r in problem(count=21).profile.records()]

    def order(strategy):
        return [point["s"] for point in strategy.propose(Told(), 99)]

    assert order(GridSearch(problem(count=21), count=5)) == records[3::4]
    assert order(GridSearch(problem(count=21), count=99)) == records
    draws = [order(RandomSearch(problem(count=21), seed=Seed(n))) for n in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert sorted(draws[0]) == records


def test_suggestions_are_quick_and_silent(problem, search, cliff, capfd):
    search(problem(), cliff(0.5), budget=3)  # BoTorch is loaded now
    capfd.readouterr()

    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        begun = time.thread_time()
        suggestions = 0
        for metric in (cliff(0.3), cliff(0.9), lambda s: 0.93, lambda s: 0.1):
            played = search(problem(), metric, budget=5)
            suggestions += len(played.tried)
        spent = time.thread_time() - begun

    assert not [str(w.message) for w in leaked]
    assert capfd.readouterr() == ("", "")
    assert spent / suggestions <= 0.5


def test_what_swings_back_beyond_a_failed_trial_is_no_evidence(problem):
    asked = problem(noise_sd=0.001)
    readings = ((0.889, 0.843), (0.73, 0.927), (0.811, 0.929), (0.859, 0.931), (0.875, 0.881))
    observations = [Observation.of({"s": s}, Reading(y)) for s, y in readings]
    units = np.array([[asked.knob.unit(s)] for s in (0.7, 0.858, 0.875, 0.89, 0.95, 0.97)])

    said = belief_of(asked, observations, Seed()).probability_feasible(units)

    assert (np.diff(said) <= 0).all()
    assert (said[:2] > 0.99).all() and (said[2:] < 0.01).all()


def test_a_trial_that_holds_speaks_for_all_that_is_milder(problem):
    asked = problem(noise_sd=0.001)
    observations = [Observation.of({"s": s}, Reading(y)) for s, y in ((0.5, 0.905), (0.7, 0.93))]
    units = np.array([[asked.knob.unit(s)] for s in (0.3, 0.5, 0.69)])

    assert (belief_of(asked, observations, Seed()).probability_feasible(units) > 0.99).all()
