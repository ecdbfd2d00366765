"""Promises that every strategy keeps, in either coordinates."""

import subprocess
import sys

import pytest

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.recipe.vocabulary import (
    SEARCH_COORDINATES,
    SEARCH_KERNELS,
    SEARCH_METHODS,
    SEARCH_PRIORS,
)
from condensa_core.search import (
    COORDINATES,
    KERNELS,
    METHODS,
    PRIORS,
    SETTINGS,
    Knob,
    LevelProblem,
    ObjectiveProfile,
    Search,
    Space,
    point_key,
    strategy_named,
)

ONE_KNOB = [name for name in METHODS if name not in ("scbo", "log-nei", "pareto")]
CASES = [(m, c) for m in ONE_KNOB for c in (COORDINATES if "coordinates" in SETTINGS[m] else (None,))]
# A fit takes a tenth of a second, and strategies that differ in their score alone share everything else.
FEWER = [(m, c) for m, c in CASES if m not in ("ei", "pi", "ucb", "straddle") and (m, c) != ("dr-ucb", "scaled")]


def search_of(problem, method, coordinates, budget=6):
    strategy = strategy_named(method, problem, seed=Seed(7), trials=budget, coordinates=coordinates)
    return Search(problem, strategy, budget=budget)


def played(search, metric, at_once):
    """Answer batches last point first; every point in the order of asking."""
    asked = []
    while points := search.ask(at_once):
        asked += points
        for point in reversed(points):
            search.tell(point, metric(point["s"]))
    return [point["s"] for point in asked]


@pytest.mark.parametrize(
    ("at_once", "method", "coordinates"), [*((1, *case) for case in FEWER), *((3, *case) for case in CASES)]
)
def test_points_are_new_and_follow_from_what_was_told(problem, cliff, method, coordinates, at_once):
    problem, metric = problem(count=40), cliff(0.8)

    search = search_of(problem, method, coordinates)
    asked = played(search, metric, at_once)
    killed = search_of(problem, method, coordinates)
    killed.restore({**search.state(), "observations": search.state()["observations"][:3]})

    assert len(set(asked)) == len(asked) <= 6
    assert search.stopped()
    assert [point["s"] for point in killed.ask(at_once)] == asked[3 : 3 + at_once]


@pytest.mark.parametrize(("method", "coordinates"), FEWER)
def test_failed_and_pending_points_are_never_asked_for_again(problem, cliff, method, coordinates):
    problem, metric = problem(count=30), cliff(0.8)
    search = search_of(problem, method, coordinates, budget=6)

    first = search.ask(2)
    search.tell(first[1], None, failure="diverged")
    second = search.ask(1)  # while the first is pending
    search.tell(first[0], metric(first[0]["s"]))
    for point in second:
        search.tell(point, float("nan"))
    asked = [*first, *second]
    while points := search.ask():
        asked += points
        search.tell(points[0], metric(points[0]["s"]))

    keys = [point_key(point) for point in asked]
    assert len(set(keys)) == len(keys)
    assert len(first) == 2


@pytest.mark.parametrize(("method", "coordinates"), CASES)
def test_ordered_choices_are_tried_to_the_end(method, coordinates):
    bits = Knob("bits", choices=(2, 4, 8, 16), strongest="low")
    profile = ObjectiveProfile.measured(bits, [(16, 2.0), (8, 4.0), (4, 8.0), (2, 16.0)], 1.0)
    problem = LevelProblem(Space((bits,)), profile, 0.9, 0.93, noise_sd=1e-4)
    search = search_of(problem, method, coordinates, budget=4)

    while points := search.ask():
        search.tell(points[0], 0.92 if points[0]["bits"] >= 8 else 0.5)

    assert search.recommend().point == {"bits": 8}


@pytest.mark.parametrize("method", ONE_KNOB)
def test_nothing_is_tried_where_nothing_is_to_gain(method):
    knob = Knob("s", range=(0.0, 0.9))
    profile = ObjectiveProfile.measured(knob, [(s, 1.0) for s in knob.grid(20)], 1.0)
    problem = LevelProblem(Space((knob,)), profile, 0.9, 0.93)

    search = search_of(problem, method, None)

    assert search.ask() == ()
    assert "better objective than the reference" in search.stopped()


def test_the_recipe_knows_the_same_words():
    assert {name: set(taken) for name, taken in SEARCH_METHODS.items() if name != "none"} == {
        name: set(SETTINGS[name]) for name in SEARCH_METHODS if name != "none"
    }
    assert (SEARCH_KERNELS, SEARCH_PRIORS, SEARCH_COORDINATES) == (KERNELS, PRIORS, COORDINATES)


@pytest.mark.parametrize("method", ONE_KNOB)
def test_a_setting_that_steers_nothing_is_refused(problem, method):
    values = {
        "gamma": 0.5, "beta": 1.0, "kernel": "rbf", "prior": "flat", "confidence": 0.8, "coordinates": "raw",
        "least_gain": 0.1,
    }  # fmt: skip

    for name, value in values.items():
        if name in SETTINGS[method]:
            strategy_named(method, problem(count=10), seed=Seed(0), **{name: value})
        else:
            with pytest.raises(UsageError, match=f"'{method}' takes no '{name}'"):
                strategy_named(method, problem(count=10), seed=Seed(0), **{name: value})


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("ils_ucb", {}, "did you mean 'ils-ucb'"),
        ("ils-ucb", {"gamma": 1.5}, "gamma must lie in 0..1"),
        ("ucb", {"beta": -1.0}, "beta must lie in 0..inf"),
        ("ei", {"kernel": "matern"}, "no kernel is called 'matern'"),
        ("ei", {"prior": "uniform"}, "no prior is called 'uniform'"),
        ("grid", {"coordinates": "log"}, "no coordinates are called 'log'"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(problem, method, settings, message):
    with pytest.raises(UsageError) as refused:
        strategy_named(method, problem(count=10), seed=Seed(0), **settings)

    assert message in f"{refused.value.message}; {refused.value.hint}"


def test_bisecting_and_spreading_load_no_torch():
    code = """
import sys
from condensa_core.randomness import Seed
from condensa_core.search import *
knob = Knob("s", range=(0.0, 0.9))
profile = ObjectiveProfile.measured(knob, [(s, 1 / (1 - s)) for s in knob.grid(50)], 1.0)
problem = LevelProblem(Space((knob,)), profile, 0.9, 0.93)
assert "scipy" not in sys.modules
for method in ("level-set", "bisection", "probabilistic-bisection", "grid", "random", "sobol"):
    search = Search(problem, strategy_named(method, problem, seed=Seed(0), trials=3), budget=3)
    while points := search.ask():
        search.tell(points[0], 0.93 - 0.1 * points[0]["s"])
print(*sorted({"torch", "botorch", "gpytorch"} & set(sys.modules)))
"""

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.split() == []
    assert answer.stderr == ""
