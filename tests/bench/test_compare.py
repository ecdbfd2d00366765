from __future__ import annotations

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from comparisons import made

from condensa_core.bench import (
    BenchTarget,
    Bounds,
    Ratio,
    compare,
    describe_machine,
    judge_size,
    judge_speed,
)
from condensa_core.bench.clock import Clock
from condensa_core.bench.compare import StopRule
from condensa_core.bench.statistics import quantiles
from condensa_core.errors import Interrupted, MachineError, UsageError
from condensa_core.progress import Advanced, PhaseEnded, PhaseStarted
from condensa_core.randomness import Seed


def test_four_times_the_work_is_slower_by_about_four(chain):
    # so small that the weights of both stay in any processor's second cache: else more than the work is told
    comparison = compare({"short": chain(4, 64), "long": chain(16, 64)}, BenchTarget(batch=64), seconds=8)

    ratio = comparison.ratio("short", "long")
    assert ratio.verdict == "faster"
    assert ratio.low > 1
    assert 2.5 < ratio.value < 5.5  # 4x the products, and a fixed cost per call
    inverse = comparison.ratio("long", "short")
    assert inverse.verdict == "slower"
    assert inverse.value == pytest.approx(1 / ratio.value, rel=0.05)


def test_the_same_file_twice_makes_no_difference(chain):
    # an interval misses the truth now and then: three misses in a row are a fault
    # its weights nearly fill the second cache of some processors: there two loads of it differ by a tenth
    comparisons = (compare({"a": chain(8), "b": chain(8)}, seconds=6, seed=Seed(i)) for i in range(3))

    assert any(c.ratio("b", "a").verdict == "not distinguishable" for c in comparisons)


def test_what_is_nearly_as_fast_is_loaded_again_the_other_way_round(chain):
    loaded = []
    listener = lambda event: loaded.append(event.detail) if isinstance(event, PhaseStarted) else None  # noqa: E731

    comparison = compare(
        {"a": chain(20, 64), "b": chain(22, 64)}, BenchTarget(batch=64), seconds=4, rounds=40, listener=listener
    )

    assert loaded == ["a, b", "b, a"] and len(comparison.loads) == 2
    assert sum(comparison.loads) == comparison.measurements["a"].rounds == len(comparison.measurements["b"].round_s)
    assert comparison.ratio("b", "a").verdict == "slower"


def test_an_interval_holds_those_of_every_load():
    times = {"a": [1.0] * 60, "b": [1.1] * 30 + [0.95] * 30}

    ratio = replace(made(times), loads=(30, 30)).ratio("b", "a")

    assert (ratio.low, ratio.high) == pytest.approx((1 / 1.1, 1 / 0.95))
    assert ratio.verdict == "not distinguishable"
    assert replace(made(times), loads=(60,)).ratio("b", "a") == made(times).ratio("b", "a")


def test_what_is_reported_fits_together(chain):
    target = BenchTarget(batch=4)
    events = []

    comparison = compare({"a": chain(4), "b": chain(8)}, target, rounds=5, listener=events.append)

    first = comparison.measurements["a"]
    assert first.rounds == len(first.round_s) == 5
    assert first.cpu_time and first.clock == "processor"
    assert len(first.round_wall_s) == 5
    assert all(wall >= cpu for wall, cpu in zip(first.round_wall_s, first.round_s, strict=True))
    assert first.transfers is None
    assert first.size_bytes == chain(4).stat().st_size
    assert first.throughput_per_s == pytest.approx(4 / sorted(first.round_s)[2])
    assert first.latency_s.min <= first.latency_s.p50 <= first.latency_s.p99
    assert [len(turn) for turn in first.single_s] == [first.latency_s.count // 5] * 5
    assert quantiles([seconds for turn in first.single_s for seconds in turn]) == first.latency_s
    assert first.noise >= 0.99  # the wall is never ahead of the processor
    assert first.noisy == (first.noise > 1.05)
    assert comparison.stopped == "rounds"
    assert comparison.target == target
    assert events[0] == PhaseStarted("bench", total=5, detail="a, b")
    assert [e.done for e in events if isinstance(e, Advanced)] == [1, 2, 3, 4, 5]
    assert isinstance(events[-1], PhaseEnded)


def test_json_says_everything_and_nothing_of_local_paths(chain):
    comparison = compare({"a": chain(4), "b": chain(8)}, rounds=3, batch=2)

    document = json.loads(json.dumps(comparison.to_json()))

    assert document["schema"] == "condensa.bench/1"
    assert document["baseline"] == "a"
    assert document["target"] == {"backend": "onnxruntime", "device": "cpu", "batch": 2, "threads": 1, "streams": 1}
    assert set(document["measurements"]) == {"a", "b"}
    ratio = comparison.ratio("b", "a")
    assert document["ratios"]["b"]["value"] == ratio.value
    assert document["ratios"]["b"]["verdict"] == ratio.verdict
    assert document["machine"]["fingerprint"] == describe_machine().fingerprint
    assert "single_s" not in document["measurements"]["a"]  # thousands of numbers whose quantiles are there
    assert str(chain(4).parent) not in json.dumps(document)


def test_several_threads_are_timed_on_the_wall(chain):
    comparison = compare({"a": chain(4)}, threads=2, rounds=3)

    measurement = comparison.measurements["a"]
    assert not measurement.cpu_time
    assert measurement.clock == "wall"
    assert measurement.round_s == measurement.round_wall_s
    assert measurement.latency_s == measurement.latency_wall_s
    assert measurement.noise >= 0.99


def test_windows_is_timed_on_the_wall(chain, monkeypatch):
    monkeypatch.setattr("condensa_core.bench.target.sys", SimpleNamespace(platform="win32"))

    measurement = compare({"a": chain(4)}, rounds=3).measurement("a")

    assert measurement.clock == "wall"
    assert measurement.round_s == measurement.round_wall_s


def test_a_clock_that_stands_still_is_told(chain):
    coarse = Clock(cpu_ns=lambda: time.thread_time_ns() // 10**10 * 10**10)

    with pytest.raises(MachineError, match=r"the processor clock stood still for \d+ inferences: it is too coarse"):
        compare({"a": chain(4), "b": chain(4)}, rounds=3, clock=coarse)


def test_time_runs_out(chain):
    comparison = compare({"a": chain(4), "b": chain(8)}, seconds=0)

    assert comparison.stopped == "seconds"
    assert comparison.measurements["a"].rounds == 3


@pytest.mark.parametrize(("seconds", "rounds"), [(0.02, 6), (0.0005, 3)])
def test_slow_files_get_the_rounds_of_an_interval_unless_that_takes_too_long(seconds, rounds, monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(now) * 0.01)  # 10 ms a round
    stop, done = StopRule(Seed(), seconds=seconds, rounds=100, listener=lambda event: None), 1

    while not stop([{}] * done):
        done += 1

    assert (done, stop.reason) == (rounds, "seconds")


def test_of_few_rounds_nothing_is_claimed():
    ratio = FEW.ratio("half", "base")

    assert (ratio.value, ratio.certain, ratio.verdict) == (2.0, False, "too few rounds")
    assert "2.000x in fewer than 6 rounds" in judge_speed(FEW, "half", "base", Bounds(min_speedup=1.5))[0].line
    assert FEW.to_json()["measurements"]["half"]["latency_s"]["p99"] is None
    assert EXACT.ratio("half", "base").verdict == "faster"


def test_an_interruption_passes_through(chain):
    def stop(event):
        if isinstance(event, Advanced):
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        compare({"a": chain(4)}, listener=stop)


def test_bad_requests_are_refused(chain):
    with pytest.raises(UsageError, match="no file"):
        compare({})
    with pytest.raises(UsageError, match="at least 3 rounds"):
        compare({"a": chain(4)}, rounds=2)
    with pytest.raises(UsageError, match="batch must be at least 1"):
        compare({"a": chain(4)}, batch=0)
    with pytest.raises(UsageError, match="no measurement called 'z'; measured: a"):
        compare({"a": chain(4)}, rounds=3).ratio("z", "a")


EXACT = made({"base": [2.0, 4.0, 2.0] * 2, "half": [1.0, 2.0, 1.0] * 2})
UNSURE = made({"base": [1.0] * 6, "other": [0.5, 0.6, 0.65, 0.7, 1.2, 0.65]})
FEW = made({"base": [2.0] * 5, "half": [1.0] * 5})


def test_ratio_is_per_round_and_above_one_when_faster():
    assert EXACT.ratio("half", "base") == Ratio(2.0, 2.0, 2.0)
    assert EXACT.ratio("base", "half") == Ratio(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.03, 1.2, "faster"),
        (0.8, 0.97, "slower"),
        (0.9, 1.1, "not distinguishable"),
        (1.01, 1.2, "not distinguishable"),  # less than two sessions of one file may differ
        (0.8, 0.99, "not distinguishable"),
    ],
)
def test_a_ratio_whose_interval_comes_near_one_is_not_distinguished(low, high, verdict):
    assert Ratio((low + high) / 2, low, high).verdict == verdict


@pytest.mark.parametrize(
    ("comparison", "name", "bounds", "passed"),
    [
        (EXACT, "half", {"min_speedup": 1.96}, [True]),
        (EXACT, "half", {"min_speedup": 1.97}, [False]),  # another session of the same file may be 2 % slower
        (EXACT, "half", {"max_slowdown": 0.05}, [True]),
        (EXACT, "base", {"max_slowdown": 0.03, "min_speedup": 0.5}, [True, True]),
        (EXACT, "base", {"min_speedup": 1.0}, [False]),  # a copy is not shown to be as fast
        (EXACT, "half", {}, []),
        (UNSURE, "other", {"min_speedup": 1.4}, [False]),  # the median is 1.54, but the interval does not show it
        (FEW, "half", {"min_speedup": 1.01, "max_slowdown": 0.5}, [False, False]),
    ],
)
def test_a_bound_holds_when_the_whole_interval_holds_it(comparison, name, bounds, passed):
    assert [v.passed for v in judge_speed(comparison, name, "base", Bounds(**bounds))] == passed


def test_slowdown_is_time_against_the_baseline():
    slower = made({"base": [1.0] * 6, "late": [1.06] * 6})

    assert [v.passed for v in judge_speed(slower, "late", "base", Bounds(max_slowdown=0.05))] == [False]
    assert [v.passed for v in judge_speed(slower, "late", "base", Bounds(max_slowdown=0.09))] == [True]
    (verdict,) = judge_speed(slower, "late", "base", Bounds(max_slowdown=0.05))
    assert verdict.line.startswith("FAIL  max-slowdown: late takes at most 108.1% of the time")


def test_a_size_is_at_most_what_is_allowed():
    assert [v.passed for v in judge_size("m", 1000, Bounds(max_size_bytes=1000))] == [True]
    (verdict,) = judge_size("m", 1001, Bounds(max_size_bytes=1000))
    assert (verdict.passed, verdict.line) == (False, "FAIL  max-size: m takes 1,001 bytes, allowed 1,000")
    assert judge_size("m", 1001, Bounds()) == ()


def test_bounds_that_mean_nothing_are_refused():
    for bounds in ({"min_speedup": 0.0}, {"max_slowdown": -1.0}, {"max_size_bytes": 0}):
        with pytest.raises(UsageError, match="must be positive"):
            Bounds(**bounds)
    for bounds in ({"min_speedup": 0.99}, {"max_slowdown": 0.02}, {"max_slowdown": 0.001}):
        with pytest.raises(UsageError, match="allows less than the 2% by which two sessions of one file differ"):
            Bounds(**bounds)
    with pytest.raises(UsageError, match="must not be negative"):
        Bounds(max_error=-1e-3)
