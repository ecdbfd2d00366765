"""Several objectives: the front, and the search that grows it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import UsageError
from condensa_core.randomness import Seed
from condensa_core.search import Knob, LevelProblem, ObjectiveSurface, ParetoSearch, Search, Space, strategy_named
from condensa_core.search.front import non_dominated

DENSE, LEVEL = 0.9, 0.85
SPACE = Space((Knob("x", range=(0.0, 0.9)), Knob("bits", choices=(32, 16, 8))))
rows = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=8)


def metric(point) -> float:
    unit = SPACE.encode(point)[0]
    return DENSE - 0.08 * unit**2 - {32: 0.0, 16: 0.004, 8: 0.02}[point["bits"]]


def speed(point) -> float:
    return math.exp(1.5 * SPACE.encode(point)[0]) * {32: 1.0, 16: 1.3, 8: 1.5}[point["bits"]]


def size(point) -> float:
    return 100.0 * point["bits"] / 32 * (1 - 0.2 * SPACE.encode(point)[0])


def problem(**settings) -> LevelProblem:
    return LevelProblem(
        SPACE, ObjectiveSurface(SPACE, 1.0, function=speed, name="throughput"), LEVEL, DENSE, noise_sd=1e-3, **settings
    )


SIZE = ObjectiveSurface(SPACE, 100.0, function=size, direction="minimize", name="size")


def play(problem: LevelProblem, budget: int, q: int = 1) -> Search:
    search = Search(problem, strategy_named("pareto", problem, seed=Seed(0)), budget=budget)
    while asked := search.ask(q):
        for point in asked:
            search.tell(point, metric(point))
    return search


def area(pairs) -> float:
    """The area that pairs of positive numbers dominate, from the origin: by slicing along the first."""
    covered, height = 0.0, 0.0
    for first, second in sorted(pairs, reverse=True):
        covered += first * max(second - height, 0.0)
        height = max(height, second)
    return covered


@given(rows)
def test_non_dominated_rows_are_those_that_no_other_beats(drawn):
    outcomes = np.array(drawn, float)

    kept = non_dominated(outcomes)

    for i, row in enumerate(drawn):
        others = [other for j, other in enumerate(drawn) if j != i]
        beaten = any(all(o >= r for o, r in zip(other, row, strict=True)) and other != row for other in others)
        assert kept[i] == (not beaten and row not in drawn[:i])


def test_the_front_of_speed_and_metric_covers_nearly_all_that_can_be_had():
    grid = [SPACE.decode([x, b]) for x in np.linspace(0, 1, 200) for b in (0.25, 0.5, 1.0)]
    whole = area([(math.log(speed(p)), (metric(p) - LEVEL)) for p in grid if metric(p) >= LEVEL])

    found = play(problem(), 10).recommend()

    reached = area([(math.log(speed(p)), metric(p) - LEVEL) for p in found.front])
    assert reached > 0.85 * whole
    speeds, metrics = [speed(p) for p in found.front], [metric(p) for p in found.front]
    assert speeds == sorted(speeds, reverse=True) and metrics == sorted(metrics)
    assert min(metrics) >= LEVEL


def test_with_a_further_objective_the_metric_is_a_constraint_and_not_traded():
    found = play(problem(further=(SIZE,)), 10, q=2).recommend()

    pairs = [(speed(p), size(p)) for p in found.front]
    assert all(metric(p) >= LEVEL for p in found.front)
    for s, z in pairs:
        assert not any(other_s > s and other_z < z for other_s, other_z in pairs)
    assert min(z for _, z in pairs) < 30  # 8 bits; far from the level in the metric, where a trade would have stayed


def test_any_search_of_several_knobs_gives_its_front():
    search = Search(problem(), strategy_named("level-set", problem(), seed=Seed(0)), budget=6)
    while asked := search.ask():
        search.tell(asked[0], metric(asked[0]))

    found = search.recommend()

    assert found.point in found.front
    assert found.to_record()["front"] == [dict(p) for p in found.front]


def test_one_knob_or_nothing_to_gain_is_no_front():
    flat = replace(problem(), profile=ObjectiveSurface(SPACE, 1.0, function=lambda point: 1.0, name="throughput"))

    assert Search(flat, ParetoSearch(flat, seed=Seed()), budget=3).ask() == ()
    one = Space((SPACE.knobs[0],))
    surface = ObjectiveSurface(one, 1.0, function=lambda p: 1.0)
    with pytest.raises(UsageError, match="knob"):
        ParetoSearch(replace(problem(), space=one, profile=surface), seed=Seed())
