"""What the verdict says of how sure a result is, noise and bisection included."""

from dataclasses import replace

import pytest

from condensa_core.report import BisectionResult, BoundOnTest, RatioInterval, SearchResult, TrialResult, verdict


def lines(outcome, head):
    return [line.strip() for line in verdict(outcome).splitlines() if line.strip().startswith(head)]


@pytest.mark.parametrize(
    ("value", "met", "words"),
    [(0.9714, True, "met by 0.39 ± 0.85 points, within noise"), (0.9475, False, "NOT met by 2.00 ± 0.85 points")],
)
def test_the_distance_to_the_limit_is_told_beside_its_noise(outcome, value, met, words):
    bound = replace(outcome.constraint, value=value, met=met, stderr=0.0085)

    (line,) = lines(replace(outcome, constraint=bound), "constraint")

    assert line.endswith(f"against the limit 96.75 %, {words}")


def test_the_split_that_was_never_read_has_its_own_limit(outcome):
    bound = replace(outcome.constraint, test=BoundOnTest(0.955, 0.9694, True, 0.005))

    (line,) = lines(replace(outcome, constraint=bound), "on test")

    expected = "96.94 % against the limit 95.50 %, met by 1.44 ± 0.50 points; the search never read this split"
    assert line == f"on test    {expected}"
    assert not lines(outcome, "on test")


@pytest.mark.parametrize(
    ("searched", "words"),
    [
        (RatioInterval(2.4, 2.36, 2.44), "the same within noise"),
        (RatioInterval(2.5, 2.45, 2.6), "more than noise apart"),
        (RatioInterval(2.2, 2.15, 2.24), "more than noise apart"),
    ],
)
def test_the_gain_in_the_search_stands_beside_that_of_the_artifact(outcome, searched, words):
    (line,) = lines(replace(outcome, best=replace(outcome.best, searched=searched)), "in search")

    assert f"{searched.value:.2f}x [{searched.low:.2f}, {searched.high:.2f}]" in line and words in line


def test_what_is_counted_is_not_told_twice(outcome):
    counted = RatioInterval(2.31, 2.31, 2.31)
    found = replace(outcome, best=replace(outcome.best, ratio=counted, searched=counted))

    assert not lines(found, "in search")
    assert "2.31x the reference's" in verdict(found)


def test_belief_and_bracket_are_told(outcome):
    sure = SearchResult("level-set", (0.7125, 0.75), 0.83, "it was best; the budget is spent")

    (line,) = lines(replace(outcome, search=sure), "sure")
    assert line.removeprefix("sure       P(the bound holds) 0.83 given all trials, ") == (
        "judged to hold up to sparsity 0.7125, to break from 0.75 on"
    )
    assert lines(replace(outcome, search=sure), "search") == ["search     level-set: it was best; the budget is spent"]
    (unbroken,) = lines(replace(outcome, search=replace(sure, bracket=(0.7125, None))), "sure")
    assert unbroken.endswith("no stronger trial broke it")


def test_a_trial_that_missed_the_limit_within_noise_is_not_denied(outcome):
    missed = TrialResult(1, {"sparsity": 0.95}, "ok", 0.9648, 0.0085, 2600.0, 2.35, False, 0.37)
    worse = replace(missed, number=2, knobs={"sparsity": 0.97}, metric=0.96)
    sure = SearchResult("level-set", (0.9415, None), 0.77)

    (one,) = lines(replace(outcome, search=sure, trials=(*outcome.trials, missed)), "sure")
    (two,) = lines(replace(outcome, search=sure, trials=(*outcome.trials, worse, missed)), "sure")

    told = "though trial 1 at sparsity 0.95 missed the limit by 0.27 ± 0.85 points, within noise"
    assert "P(the bound holds) 0.77" in one and one.endswith(told)
    assert two.endswith(f"{told}, as 1 more did")


@pytest.mark.parametrize(
    ("reached", "words"),
    [
        (2, "would have been quicker on the same answers: within 1 % of this objective after 2 trainings, this search"),
        (3, "would have been as quick on the same answers: within 1 % of this objective after 3 trainings;"),
        (5, "would have come within 1 % of this objective after 5 trainings on the same answers, this search after 3;"),
        (None, "would not have come within 1 % of this objective on the same answers, this search after 3;"),
    ],
)
def test_bisection_is_told_whoever_was_quicker(outcome, reached, words):
    played = BisectionResult(reached, 2.1, 6, 2)
    found = SearchResult("level-set", trainings=4, reached_after=3, ships=2.3, bisection=played, bisection_raw=played)

    (line,) = lines(replace(outcome, search=found), "beside it")

    assert line.startswith(f"beside it  bisection {words}")
    assert line.endswith("after 4 it would ship 2.10x, this search 2.30x (by the fitted curve at 2 of its settings)")


def test_the_published_coordinates_are_not_told_where_they_come_to_the_same(outcome):
    scaled, raw = BisectionResult(None, 2.1, 6, 2), BisectionResult(None, 2.1001, 7, 3)
    found = SearchResult("level-set", trainings=4, reached_after=3, ships=2.3, bisection=scaled, bisection_raw=raw)

    assert len(lines(replace(outcome, search=found), "beside it")) == 1


def test_the_published_coordinates_are_told_where_they_differ(outcome):
    found = SearchResult(
        "level-set",
        trainings=4,
        reached_after=3,
        ships=2.3,
        bisection=BisectionResult(3, 2.3, 5, 0),
        bisection_raw=BisectionResult(None, 1.5, 6, 1),
    )

    _, raw = lines(replace(outcome, search=found), "beside it")

    assert "bisection as published, in the knob itself, would not have come" in raw
