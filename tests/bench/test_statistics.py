from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.bench.statistics import (
    median_interval,
    pooled_ratio_interval,
    quantiles,
    ratio_interval,
    unpaired_ratio_interval,
)
from condensa_core.errors import UsageError
from condensa_core.randomness import Seed

times = st.lists(st.floats(1e-6, 10), min_size=1, max_size=40)


@given(times)
def test_quantiles_by_an_independent_route(values):
    found = quantiles(values)

    for q, value in ((0.5, found.p50), (0.9, found.p90), (0.95, found.p95), (0.99, found.p99)):
        assert value == pytest.approx(scipy.stats.mstats.mquantiles(values, [q], alphap=1, betap=1)[0], rel=1e-9)
    assert found.count == len(values)
    assert found.min == min(values)
    assert found.mean == pytest.approx(sum(values) / len(values))
    if len(values) > 1:
        assert found.variation == pytest.approx(scipy.stats.variation(values, ddof=1), abs=1e-9)
    else:
        assert found.variation == 0


def test_the_slowest_percent_is_where_it_should_be():
    assert quantiles(list(range(1, 101))).p99 == pytest.approx(99.01)
    assert quantiles([1.0] * 99 + [100.0]).p90 == 1.0


@settings(max_examples=50)
@given(times, st.integers(0, 100))
def test_the_interval_holds_its_median_and_lies_among_the_values(values, root):
    interval = median_interval(values, seed=Seed(root))

    assert interval.low <= interval.value <= interval.high
    assert min(values) <= interval.low
    assert interval.high <= max(values)
    assert interval.value == pytest.approx(float(np.median(values)))
    assert interval == median_interval(values, seed=Seed(root))


@settings(max_examples=30)
@given(times, st.sampled_from([0.25, 2.0, 1024.0]))
def test_units_do_not_matter(values, factor):
    seconds, scaled = median_interval(values, seed=Seed()), median_interval([v * factor for v in values], seed=Seed())

    assert scaled.value == pytest.approx(seconds.value * factor)
    assert scaled.low == pytest.approx(seconds.low * factor)
    assert scaled.high == pytest.approx(seconds.high * factor)
    assert scaled.half_width == pytest.approx(seconds.half_width, abs=1e-9)


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(0).lognormal(size=25)

    ours = median_interval(list(values), seed=Seed(1))

    theirs = scipy.stats.bootstrap(
        (values,), np.median, n_resamples=20000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    # medians of 25 values lie on the values themselves: both ends are one of two neighbouring order statistics
    ordered = np.sort(values)
    for a, b in ((ours.low, theirs.low), (ours.high, theirs.high)):
        assert abs(int(np.abs(ordered - a).argmin()) - int(np.abs(ordered - b).argmin())) <= 1


@pytest.mark.parametrize("true", [1.0, 3.0])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(true):
    # given skewed, heavy-tailed timings whose ratios have median `true`
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        shared = generator.lognormal(0, 0.5, 25)  # a disturbance of the whole round
        base = shared * true * generator.lognormal(0, 0.05, 25)
        other = shared * generator.lognormal(0, 0.05, 25)

        interval = ratio_interval(list(base), list(other), seed=Seed(trial))

        covered += interval.low <= true <= interval.high
        assert interval.half_width < 0.12  # the shared disturbance of 50 % has cancelled
    # 95 % nominal; a percentile interval of a median of 25 is known to cover 93-96 %; 300 trials have sd 1.3 %
    assert 0.90 <= covered / 300 <= 0.99


@pytest.mark.parametrize("rounds", [6, 7, 8, 12, 24])
def test_the_interval_of_few_rounds_covers_the_truth_as_often_as_it_says(rounds):
    noise = np.random.default_rng(0).normal(0, 0.05, (1000, rounds))

    covered = 0
    for ratios in np.exp(noise):
        interval = median_interval(ratios, seed=Seed())
        covered += interval.low <= 1 <= interval.high

    assert covered / 1000 > 0.95 - 0.014  # two standard deviations of 1000 trials


def test_a_tail_needs_values_in_it():
    told = {count: quantiles([1.0] * count).to_json() for count in (1, 10, 99, 100)}

    known = {count: [name for name in ("p50", "p90", "p95", "p99") if q[name] is not None] for count, q in told.items()}
    assert known == {1: ["p50"], 10: ["p50", "p90"], 99: ["p50", "p90", "p95"], 100: ["p50", "p90", "p95", "p99"]}


def test_pairs_are_compared_pair_by_pair():
    assert ratio_interval([2.0, 20.0, 200.0], [1.0, 10.0, 100.0], seed=Seed()).half_width == 0

    with pytest.raises(UsageError, match="2 and 1"):
        ratio_interval([1.0, 2.0], [1.0], seed=Seed())


def test_nothing_has_no_interval():
    with pytest.raises(UsageError, match="at least one"):
        median_interval([], seed=Seed())
    with pytest.raises(UsageError, match="confidence"):
        median_interval([1.0], seed=Seed(), confidence=95)


def rounds_of_latencies(seed, *, rounds=40, singles=12, slower=1.0):
    """Skewed latencies whose rounds differ: a round's pace is that of all its values."""
    generator = np.random.default_rng(seed)
    pace = generator.lognormal(sigma=0.1, size=(rounds, 1))
    return slower * pace * generator.lognormal(sigma=0.3, size=(rounds, singles))


@pytest.mark.parametrize("statistic", ["mean", "p50", "p99"])
def test_a_pooled_ratio_agrees_with_scipys_bootstrap_over_rounds(statistic):
    base, mine = rounds_of_latencies(1, slower=2.0), rounds_of_latencies(2, singles=7)

    found = pooled_ratio_interval(base, mine, statistic, seed=Seed(5))

    def of(values):
        return np.mean(values) if statistic == "mean" else np.percentile(values, float(statistic[1:]))

    known = scipy.stats.bootstrap(
        (np.arange(40),), lambda rounds: of(base[rounds]) / of(mine[rounds]), vectorized=False, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert found.value == pytest.approx(of(base) / of(mine))
    # two bootstraps of 2000 and 4000 resamples: their 2.5 % quantiles differ by some percent of the interval
    assert [found.low, found.high] == pytest.approx([known.low, known.high], abs=0.15 * (known.high - known.low))
    assert pooled_ratio_interval(base, mine, statistic, seed=Seed(5)) == found


def test_many_values_are_resampled_in_chunks_to_the_same_figures(monkeypatch):
    base, mine = rounds_of_latencies(3), rounds_of_latencies(4)
    whole = pooled_ratio_interval(base, mine, "p90", seed=Seed(1))

    monkeypatch.setattr("condensa_core.bench.statistics.CHUNK", 7 * base.size)

    assert pooled_ratio_interval(base, mine, "p90", seed=Seed(1)) == whole


def test_the_tail_is_less_certain_than_the_median():
    base, mine = np.full((30, 10), 2.0), np.ones((30, 10))
    mine[4, 0] = mine[9, 0] = mine[20, 0] = mine[25, 0] = 10.0  # 4 of 300 values: the slowest percent is one of them

    median, tail = (pooled_ratio_interval(base, mine, q, seed=Seed(0)) for q in ("p50", "p99"))

    assert (median.low, median.value, median.high) == (2.0, 2.0, 2.0)
    assert tail.value == pytest.approx(0.2)
    assert tail.low == pytest.approx(0.2) and tail.high == pytest.approx(2.0)  # a resample without them has no tail


def test_rounds_that_do_not_pair_have_no_ratio():
    for above, below in (([], []), ([[1.0]], [[1.0], [1.0]])):
        with pytest.raises(UsageError, match="rounds in pairs"):
            pooled_ratio_interval(above, below, "p99", seed=Seed())


def test_medians_of_values_taken_apart_have_a_wider_interval_than_pairs():
    generator = np.random.default_rng(0)
    drift = generator.uniform(1, 2, 40)
    above, below = 2 * drift, drift

    paired = ratio_interval(above, below, seed=Seed())
    apart = unpaired_ratio_interval(above, generator.permutation(below), seed=Seed())

    assert (paired.low, paired.value, paired.high) == pytest.approx((2, 2, 2))
    assert apart.value == pytest.approx(2)
    assert apart.low < 1.9 < 2.1 < apart.high
    with pytest.raises(UsageError, match="at least one value"):
        unpaired_ratio_interval([], [1.0], seed=Seed())
