from __future__ import annotations

import gc

import pytest

from condensa_core.bench.clock import Clock, contention, runs_lasting, timed


class FakeTime:
    """A machine on which a call takes `cost_ns` of processor time and `busy` times that on the wall."""

    def __init__(self, cost_ns: int, busy: float = 1.0) -> None:
        self.cost_ns, self.busy = cost_ns, busy
        self.cpu = self.wall = self.calls = 0

    def run(self) -> None:
        self.calls += 1
        self.spend(self.cost_ns)

    def spend(self, cpu_ns: int) -> None:
        self.cpu += cpu_ns
        self.wall += int(cpu_ns * self.busy)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.cpu)


def test_a_stretch_is_timed_on_both_clocks():
    fake = FakeTime(2_000_000, busy=3)

    timing = timed(fake.run, 5, fake.clock)

    assert (timing.runs, fake.calls) == (5, 5)
    assert timing.cpu_s == pytest.approx(0.002)
    assert timing.wall_s == pytest.approx(0.006)


@pytest.mark.parametrize(("cost_ns", "expected"), [(1_000_000, 10), (3_000_000, 4), (50_000_000, 1), (1_000, 10_000)])
def test_samples_last_long_enough_and_no_longer(cost_ns, expected):
    fake = FakeTime(cost_ns)

    runs = runs_lasting(fake.run, fake.clock, sample_s=0.010, warm_up_s=0.050)

    assert runs == expected
    assert fake.wall >= 50_000_000  # warmed up
    assert fake.calls >= 3


def test_a_pause_does_not_shorten_the_samples():
    fake = FakeTime(1_000_000)

    def run() -> None:
        fake.run()
        if fake.calls == 2:
            fake.spend(1_000_000_000)

    assert runs_lasting(run, fake.clock, sample_s=0.010, warm_up_s=2) == 10


def test_a_clock_that_stands_still_does_not_divide_by_zero():
    fake = FakeTime(0)

    assert runs_lasting(fake.run, fake.clock, sample_s=1e-8, warm_up_s=0) == 10  # never below a nanosecond a call


def test_contention_is_wall_over_processor_time():
    fake = FakeTime(0, busy=2.5)
    clock = Clock(lambda: fake.wall, lambda: fake.spend(1000) or fake.cpu)

    assert contention(clock) == pytest.approx(2.5, rel=0.01)


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_waits_and_the_switch_returns_to_where_it_was(enabled):
    seen = []
    (gc.enable if enabled else gc.disable)()
    try:
        timed(lambda: seen.append(gc.isenabled()), 2, FakeTime(1).clock)
        assert seen == [False, False]
        assert gc.isenabled() is enabled

        with pytest.raises(ZeroDivisionError):
            timed(lambda: 1 / 0, 1, FakeTime(1).clock)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
