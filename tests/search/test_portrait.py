"""What a picture of a search is drawn from, against beliefs and problems made by hand."""

import math

import pytest

from condensa_core.search import Knob, LevelProblem, ObjectiveProfile, Observation, Space, one_knob_belief, portrait

KNOB = Knob("s", range=(0.0, 0.9))


def problem_of(**settings):
    pairs = [(0.0, 10.0), (0.3, 20.0), (0.5, 15.0), (0.7, 40.0), (0.9, None)]
    profile = ObjectiveProfile.measured(KNOB, pairs, 10.0, **settings)
    return LevelProblem(Space((KNOB,)), profile, level=0.9, reference_metric=0.92, noise_sd=0.002)


def trained(s, metric, **settings):
    return Observation({"s": s}, "ok", metric, **settings)


def test_bands_and_median_agree_with_the_probability_that_the_level_is_held():
    problem = problem_of()
    seen = [trained(0.5, 0.915), trained(0.7, 0.85)]

    found = portrait(problem, seen)

    belief = one_knob_belief(problem, seen)
    (low,) = belief.posterior.quantiles(belief.posterior.readings.t[:1], [0.1])
    (below,) = belief.posterior.probabilities(belief.posterior.readings.t[:1], low.tolist())
    assert below == pytest.approx(0.9, abs=1e-3)  # an independent route; quantiles are good to 0.002
    wide, narrow = found.bands
    assert (wide.share, narrow.share) == (0.95, 0.8)
    for edges in zip(wide.low, narrow.low, found.median, narrow.high, wide.high, strict=True):
        assert list(edges) == sorted(edges)
    at = [KNOB.unit(0.5), KNOB.unit(0.7)]
    nearest = [min(range(len(found.units)), key=lambda i: abs(found.units[i] - unit)) for unit in at]
    assert [found.median[i] for i in nearest] == pytest.approx([0.915, 0.85], abs=0.008)


def test_of_a_metric_that_is_better_low_bands_are_still_from_low_to_high():
    up = problem_of()
    down = LevelProblem(up.space, up.profile, -0.9, -0.92, "lower", noise_sd=0.002)

    high = portrait(up, [trained(0.5, 0.915), trained(0.7, 0.85)])
    low = portrait(down, [trained(0.5, -0.915), trained(0.7, -0.85)])

    assert low.median == pytest.approx([-m for m in high.median])
    assert low.bands[0].low == pytest.approx([-m for m in high.bands[0].high])
    assert low.height(-0.92) == pytest.approx(-high.height(0.92))
    assert low.metric_at(low.height(-0.85)) == pytest.approx(-0.85)


def test_trials_are_told_apart_and_the_bracket_is_theirs():
    seen = [
        trained(0.3, 0.92, objective=21.0),
        trained(0.7, 0.85),
        Observation.failed({"s": 0.6}, "diverged"),
        trained(0.75, 0.9005, sd=0.01),  # meets the level, by far less than its noise
        Observation({"s": 0.72}, "aborted", 0.87, 0.01, failure="given up"),
    ]

    found = portrait(problem_of(), seen, pending=[{"s": 0.5}])

    assert [t.state for t in found.trained] == ["holds", "breaks", "failed", "narrow", "aborted"]
    assert [t.metric for t in found.trained] == [0.92, 0.85, None, 0.9005, 0.87]
    assert [t.sd for t in found.trained] == [0.002, 0.002, None, 0.01, 0.01]
    assert found.trained[0].factor == pytest.approx(2.1)  # as measured, not as profiled
    assert found.trained[1].factor == pytest.approx(4.0)
    assert found.trained[3].factor is None  # not profiled, not measured
    assert found.bracket == (KNOB.unit(0.3), KNOB.unit(0.7))
    assert found.best == KNOB.unit(0.3)
    assert found.waiting == (KNOB.unit(0.5),)
    assert found.bracket[0] < found.crossing < found.bracket[1]


def test_objectives_are_multiples_of_the_references_larger_is_better():
    of_rates = portrait(problem_of(), [trained(0.3, 0.92)])
    of_sizes = portrait(problem_of(direction="minimize"), [trained(0.3, 0.92)])

    assert dict(of_rates.settings) == pytest.approx(
        {KNOB.unit(s): f for s, f in ((0, 1), (0.3, 2), (0.5, 1.5), (0.7, 4))}
    )
    assert dict(of_rates.records) == pytest.approx({KNOB.unit(0.3): 2.0, KNOB.unit(0.7): 4.0})
    assert dict(of_sizes.settings)[KNOB.unit(0.3)] == pytest.approx(0.5)
    assert of_sizes.records == () and of_sizes.best is None  # nothing beats the reference


def test_places_on_the_knob_are_those_of_its_log_density():
    found = portrait(problem_of(), [trained(0.3, 0.92)])

    for unit, value in found.marks[::40]:
        assert unit == pytest.approx(math.log1p(-value) / math.log(0.1))
