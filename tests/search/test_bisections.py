"""Bisection and its noisy relative, against what arithmetic and simulation say."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search import (
    Bisection,
    Knob,
    LevelProblem,
    ObjectiveProfile,
    Observation,
    ProbabilisticBisection,
    Reading,
    Search,
    Space,
    Told,
    strategy_named,
)
from condensa_core.search.probabilistic_bisection import CrossingDensity
from condensa_core.search.sections import nearest_apart, sections

places = st.lists(st.floats(0.01, 0.99), max_size=4, unique=True)


def steps(count=100, noise_sd=0.0):
    """A knob 1..count whose objective is its value; the metric is 1 minus the value's share, the level left open."""
    knob = Knob("k", range=(1, count), step=1)
    profile = ObjectiveProfile.measured(knob, [(k, 1.0 + k) for k in knob.grid(count)], 1.0)
    return LevelProblem(Space((knob,)), profile, level=0.5, reference_metric=1.0, noise_sd=noise_sd)


def told_of(answers):
    return Told(tuple(Observation.of({"k": k}, Reading(0.9 if holds else 0.1)) for k, holds in answers))


@given(places, st.integers(1, 5))
def test_sections_leave_the_smallest_widest_gap(inside, count):
    chosen = sections(0.0, 1.0, inside, count)

    def widest(of):
        return max(b - a for a, b in itertools.pairwise(sorted([0.0, 1.0, *of])))

    assert len(chosen) == count
    assert chosen == sorted(chosen)
    # no way of sharing the places among the gaps, evenly within each, does better: by brute force
    walls = sorted({0.0, 1.0, *inside})
    gaps = [b - a for a, b in itertools.pairwise(walls)]
    shares = (s for s in itertools.product(range(count + 1), repeat=len(gaps)) if sum(s) == count)
    best = min(max(gap / (n + 1) for gap, n in zip(gaps, share, strict=True)) for share in shares)
    assert widest([*inside, *chosen]) == pytest.approx(best)


def test_nearest_apart_gives_nothing_twice():
    assert nearest_apart([0.5, 0.5, 0.5, 0.5], np.array([0.0, 0.4, 0.6])) == [1, 2, 0]


def test_bisection_halves_what_is_left(playing):
    for crossing in (3, 37, 64, 99):
        search = Search(steps(128), Bisection(steps(128)), budget=50)
        while points := search.ask():
            search.tell(points[0], 0.9 if points[0]["k"] <= crossing else 0.1)

        assert search.recommend().point["k"] == crossing
        assert len(search.observations) <= math.log2(128) + 1
        assert "between what holds and what fails" in search.stopped()


def test_three_at_a_time_divide_the_bracket_in_four():
    strategy = Bisection(steps(101), coordinates="raw")  # raw: 1..101 is 0..1

    first = [p["k"] for p in strategy.propose(Told(), 3)]
    second = [p["k"] for p in strategy.propose(told_of([(26, True), (51, True), (76, False)]), 3)]

    assert first == [26, 51, 76]
    assert second == [57, 63, 70]


def test_a_late_answer_keeps_its_place_free():
    strategy = Bisection(steps(101), coordinates="raw")

    points = strategy.propose(Told((), ({"k": 51},)), 2)

    assert [p["k"] for p in points] == [26, 76]
    assert strategy.finished(Told((), ({"k": 51},))) is None


def test_a_miss_below_what_holds_is_a_dip(problem):
    strategy = Bisection(steps(101), coordinates="raw")

    (point,) = strategy.propose(told_of([(30, False), (50, True), (90, False)]), 1)

    assert point == {"k": 70}


@given(
    st.lists(st.tuples(st.floats(0.02, 0.98), st.floats(0.05, 0.95)), max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_density_is_bayes_rule_on_a_fine_grid(answers, random):
    assume(len({round(place, 3) for place, _ in answers}) == len(answers))
    grid = (np.arange(200_000) + 0.5) / 200_000
    posterior = np.ones_like(grid)
    for place, beyond in answers:
        posterior *= np.where(grid > place, beyond, 1 - beyond)
    posterior /= posterior.sum()
    shuffled = random.sample(answers, len(answers))

    density = CrossingDensity.of(1.0, *map(np.array, zip(*shuffled, strict=True) if shuffled else ([], [])))

    for share in (0.05, 0.5, 0.9):
        (at,) = density.quantiles([share])
        assert posterior[grid < at].sum() == pytest.approx(share, abs=1e-4)  # five grid cells
        assert density.below([at])[0] == pytest.approx(share)


def test_one_answer_at_the_median_moves_it_as_the_paper_says():
    # f(x) times 2 p on the side that was answered: the new median cuts p of what is right of 1/2 in equal parts
    density = CrossingDensity.of(1.0, np.array([0.5]), np.array([0.8]))

    assert density.quantiles([0.5])[0] == pytest.approx(1 - 0.5 * 0.5 / 0.8)


def test_certain_answers_make_it_bisection(cliff, problem):
    problem = problem(count=200, noise_sd=1e-9)
    searches = [Search(problem, s, budget=5) for s in (Bisection(problem), ProbabilisticBisection(problem))]
    tried = []
    for search in searches:
        while points := search.ask():
            search.tell(points[0], cliff(0.8)(points[0]["s"]))
        tried.append([problem.knob.unit(o.point["s"]) for o in search.observations])

    assert tried[1] == pytest.approx(tried[0], abs=0.02)  # answers are right with 0.99 at most


def test_noise_is_survived_where_bisection_is_lost():
    crossing, errors = 61, {"bisection": [], "probabilistic-bisection": []}
    for run in range(12):
        for method, found in errors.items():
            problem = steps(100, noise_sd=0.25)
            search = Search(problem, strategy_named(method, problem, seed=Seed(0), coordinates="raw"), budget=20)
            random = Seed(run).numpy_generator(method)
            while points := search.ask():
                truth = 0.5 + (crossing - points[0]["k"]) / 100
                search.tell(points[0], truth + 0.25 * random.standard_normal())
            if method == "bisection":
                found.append(abs(search.observations[-1].point["k"] - crossing))
            else:
                told = Told(search.observations)
                density = search.strategy._density(told)  # the estimate itself is not part of a strategy
                found.append(abs(1 + 99 * density.quantiles([0.5])[0] - crossing))

    assert np.median(errors["probabilistic-bisection"]) < np.median(errors["bisection"])


def test_it_stops_when_the_answer_was_tried():
    problem = steps(16, noise_sd=0.01)
    search = Search(problem, ProbabilisticBisection(problem), budget=16)
    while points := search.ask():
        search.tell(points[0], 0.9 if points[0]["k"] <= 11 else 0.1)

    assert search.recommend().point == {"k": 11}
    assert len(search.observations) < 12
    assert "with probability 0.98" in search.stopped()


def test_settings_that_mean_nothing_are_refused():
    two = Space((Knob("a", range=(0.0, 0.9)), Knob("b", range=(0.0, 0.9))))

    class Several:
        reference, direction, margin, name = 1.0, "maximize", 0.0, "speed"

    for method in ("bisection", "probabilistic-bisection", "dr-ucb"):
        with pytest.raises(UsageError, match=f"'{method}' turns one knob, not 2"):
            strategy_named(method, LevelProblem(two, Several(), 0.9, 0.93), seed=Seed(0))
    for confidence in (0.5, 1.0, 1.5):
        with pytest.raises(UsageError, match="confidence"):
            ProbabilisticBisection(steps(), confidence=confidence)
