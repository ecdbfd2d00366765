"""Ask and tell: what every strategy gets for free, whoever runs the trials and in whatever order they end."""

from __future__ import annotations

import json
import math
import sys

import pytest

from condensa_core.errors import ResumeError, UsageError
from condensa_core.search import GridSearch, Observation, Reading, Search, strategy_named


@pytest.fixture
def grid(problem):
    """A search over five points of a grid."""

    def make(budget=5, count=5):
        return Search(problem(count=21), GridSearch(problem(count=21), count=count), budget=budget)

    return make


def test_points_asked_for_are_pending_until_they_are_told_in_any_order(grid):
    search = grid()

    asked = search.ask(3)
    search.tell(asked[1], 0.9)

    assert search.pending == (asked[0], asked[2])
    assert [o.point for o in search.observations] == [asked[1]]


def test_pending_trials_take_up_the_budget(grid):
    search = grid(budget=4)

    first, second = search.ask(3), search.ask(3)

    assert (len(first), len(second)) == (3, 1)
    assert search.ask() == () and search.stopped() is None
    for point in (*first, *second):
        search.tell(point, 0.9)
    assert search.ask() == () and "budget of 4" in search.stopped()


@pytest.mark.parametrize("reading", [{"metric": None}, {"metric": float("nan")}, {"metric": 0.9, "sd": float("inf")}])
def test_what_is_not_finite_is_a_failed_trial_and_counts(grid, reading):
    search = grid(budget=1)

    search.tell(*search.ask(), **reading)

    assert search.observations[0].status == "failed" and search.observations[0].failure
    assert search.ask() == () and search.recommend().point is None


def test_details_that_json_cannot_hold_are_bounded_or_fail_the_trial():
    reading = Reading(0.9, details={"val": {"perplexity": {"value": math.inf}}, "history": [-math.inf, 1.0], "n": None})

    kept = Observation.of({"s": 0.5}, reading)
    lost = Observation.of({"s": 0.5}, Reading(0.9, details={"val": {"loss": math.nan}, "training_cost": {"macs": 1}}))

    most = sys.float_info.max
    assert kept.status == "ok"
    assert kept.details == {"val": {"perplexity": {"value": most}}, "history": [-most, 1.0], "n": None}
    assert lost.status == "failed" and "no number for val.loss" in lost.failure
    assert lost.details == {"training_cost": {"macs": 1}}


@pytest.mark.parametrize("method", ["level-set", "grid", "random"])
def test_state_is_json_and_restores_the_next_points(problem, cliff, method):
    from condensa_core.randomness import Seed

    def fresh():
        return Search(problem(count=60), strategy_named(method, problem(count=60), seed=Seed(4)), budget=8)

    search = fresh()
    for point in search.ask(2):
        search.tell(point, cliff(0.8)(point["s"]), details={"steps": 3})
    search.ask()
    state = json.loads(json.dumps(search.state()))
    restored = fresh()
    restored.restore(state)

    assert restored.pending == search.pending and restored.observations == search.observations
    assert restored.ask(2) == search.ask(2)
    assert restored.recommend() == search.recommend()


def test_points_nobody_asked_for_are_welcome_but_not_those_of_another_space(grid):
    search = grid()

    search.tell({"s": 0.123}, 0.92)

    assert search.observations[0].point == {"s": 0.123}
    with pytest.raises(UsageError, match="'s'"):
        search.tell({"sparsity": 0.5}, 0.9)
    with pytest.raises(UsageError, match="at least 1 point"):
        search.ask(0)
    with pytest.raises(ResumeError, match="no state of a search"):
        search.restore({"observations": [{}]})
    assert len(search.observations) == 1
