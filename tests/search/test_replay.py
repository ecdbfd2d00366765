"""Bisection on the answers of a finished search, where its way is known beforehand."""

import pytest

from condensa_core.search import (
    Knob,
    LevelProblem,
    ObjectiveProfile,
    Observation,
    Space,
    bisection_replay,
    reached_after,
)

# eight settings, equal steps in log-density, each a record twice as good as the last
VALUES = [1 - 0.7**i for i in range(1, 9)]
KNOB = Knob("s", range=(0.0, VALUES[-1]))


def problem_of(better="higher"):
    pairs = [(s, 2.0**i) for i, s in enumerate(VALUES, 1)]
    sign = 1 if better == "higher" else -1
    profile = ObjectiveProfile.measured(KNOB, pairs, 1.0)
    return LevelProblem(Space((KNOB,)), profile, sign * 0.9, sign * 0.92, better, noise_sd=0.0002)


def answered(values, holding, better="higher"):
    """Trials at these positions (from 1), the first `holding` of all settings holding the level clearly."""
    sign = 1 if better == "higher" else -1
    return [Observation({"s": VALUES[i - 1]}, "ok", sign * (0.915 if i <= holding else 0.7)) for i in values]


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_bisection_halves_the_records_on_measured_answers(better):
    """Of eight, five hold: 4 holds, 6 fails, 5 holds; three trainings, the third of which is what is shipped."""
    seen = answered([5, 6, 4], holding=5, better=better)

    found = bisection_replay(problem_of(better), seen)

    assert (found.reached_after, found.trainings, found.believed) == (3, 3, 0)
    assert found.ships == 2.0**5


def test_what_nobody_trained_is_answered_by_the_posterior():
    found = bisection_replay(problem_of(), answered([5, 6], holding=5))

    assert found.believed == 1  # the first, at the middle, which is milder than what holds
    assert found.ships == 2.0**4  # after as many trainings as the search made: 4 and then 6
    assert (found.reached_after, found.trainings) == (3, 3)


def test_in_the_knob_itself_it_starts_from_its_middle():
    """Half of the range is s = 0.471; of the settings 0.51 is nearest, which has the second objective.

    From there 0.73, nearest to the fourth, 0.85, the fifth, and 0.89, the sixth, which breaks the level.
    """
    seen = answered([2, 3, 4, 5, 6], holding=5)
    nearest = min(VALUES, key=lambda s: abs(s - VALUES[-1] / 2))
    assert VALUES.index(nearest) == 1

    one = bisection_replay(problem_of(), seen[3:4], coordinates="raw")  # one training, and it shipped setting 5
    whole = bisection_replay(problem_of(), seen, coordinates="raw")

    assert one.ships == 2.0**2
    assert (whole.reached_after, whole.trainings) == (3, 4)


def test_a_setting_that_failed_to_train_fails_for_bisection_too():
    seen = [*answered([5, 6], holding=5), Observation.failed({"s": VALUES[3]}, "diverged")]

    found = bisection_replay(problem_of(), seen)

    assert found.reached_after is None or found.reached_after > 1
    assert found.ships <= 2.0**5


def test_there_is_nothing_to_compare_where_nothing_was_shipped():
    assert bisection_replay(problem_of(), answered([5, 6], holding=0)) is None


def test_an_objective_counts_as_reached_once_it_stays():
    assert reached_after([1.0, 4.0, 3.97, 4.0], 4.0) == 2
    assert reached_after([4.0, 1.0, 4.0], 4.0) == 3
    assert reached_after([4.0, 1.0], 4.0) is None
    assert reached_after([], 4.0) is None
