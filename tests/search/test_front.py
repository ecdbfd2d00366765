"""Several objectives: the front, and the search that grows it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import Diverged, UsageError
from condensa_core.randomness import Seed
from condensa_core.search import (
    Journal,
    Knob,
    LevelProblem,
    ObjectiveSurface,
    ParetoSearch,
    Reading,
    Search,
    Space,
    find_level,
    point_key,
    strategy_named,
)
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


CHOICES = Space((Knob("bits", choices=(32, 8)), Knob("rank", choices=(4, 2))))


def few_settings() -> LevelProblem:
    """Four settings: fewer than a budget."""
    gain = ObjectiveSurface(CHOICES, 1.0, function=lambda p: 1.0 + 0.5 * sum(CHOICES.encode(p)), name="throughput")
    return LevelProblem(CHOICES, gain, LEVEL, DENSE, noise_sd=1e-3)


@pytest.mark.parametrize("timeout_s", [None, 3600.0])
def test_a_search_that_tried_every_setting_ends_and_says_so_and_again_when_resumed(tmp_path, timeout_s):
    def reading(trial):
        return Reading(DENSE - 0.02 * sum(CHOICES.encode(trial.point)))

    for _ in range(2):
        search = Search(few_settings(), strategy_named("pareto", few_settings(), seed=Seed(0)), budget=8)
        with Journal(tmp_path / "trials.jsonl", "f") as journal:
            found = find_level(reading, search, journal, timeout_s=timeout_s)

        assert len({point_key(o.point) for o in search.observations}) == len(search.observations) == 4
        assert found.stopped == "every setting was tried" and found.front


def test_settings_asked_for_together_are_distinct():
    search = Search(few_settings(), strategy_named("pareto", few_settings(), seed=Seed(0)), budget=8)

    together = search.ask(4)

    assert len({point_key(point) for point in together}) == len(together) >= 1


def test_the_search_goes_on_where_its_first_trials_all_fail(tmp_path):
    def stumbling(trial):
        if trial.number < 3:
            raise Diverged(f"step {trial.number}: the loss is not finite")
        return Reading(metric(trial.point))

    search = Search(problem(), strategy_named("pareto", problem(), seed=Seed(0)), budget=5)
    with Journal(tmp_path / "trials.jsonl", "f") as journal:
        found = find_level(stumbling, search, journal)

    assert [o.status for o in search.observations] == ["failed"] * 3 + ["ok"] * 2
    assert len({point_key(o.point) for o in search.observations}) == 5
    assert found.stopped == "the budget of 5 trials is spent" and found.point is not None


def test_the_search_ends_where_every_setting_fails(tmp_path):
    def failing(trial):
        raise Diverged("the loss is not finite")

    search = Search(few_settings(), strategy_named("pareto", few_settings(), seed=Seed(0)), budget=8)
    with Journal(tmp_path / "trials.jsonl", "f") as journal:
        found = find_level(failing, search, journal)

    assert len(search.observations) == 4
    assert found.stopped == "every setting was tried" and found.point is None
