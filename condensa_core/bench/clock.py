"""Time taken by repeated calls, on the wall and on the processor."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Clock:
    """Two monotonic clocks in nanoseconds: the wall, and the processor time of the calling thread."""

    wall_ns: Callable[[], int] = time.perf_counter_ns
    cpu_ns: Callable[[], int] = time.thread_time_ns


SYSTEM_CLOCK: Final = Clock()


@dataclass(frozen=True)
class Timing:
    """`runs` calls took this long together; `device_ns` by the clock of the device, where it was asked."""

    wall_ns: int
    cpu_ns: int
    runs: int
    device_ns: int | None = None

    @property
    def wall_s(self) -> float:
        """Wall seconds of one call, on average."""
        return self.wall_ns / self.runs / 1e9

    @property
    def cpu_s(self) -> float:
        """Processor seconds of one call in the calling thread, on average."""
        return self.cpu_ns / self.runs / 1e9


def timed(run: Callable[[], object], runs: int, clock: Clock) -> Timing:
    """`runs` calls of `run`, timed as one stretch, without garbage collection in between."""
    with _uncollected():
        # The wall clock encloses the processor clock, so wall/cpu never flatters the machine.
        wall, cpu = clock.wall_ns(), clock.cpu_ns()
        for _ in range(runs):
            run()
        cpu, wall = clock.cpu_ns() - cpu, clock.wall_ns() - wall
    return Timing(wall, cpu, runs)


def runs_lasting(
    run: Callable[[], object], clock: Clock, *, sample_s: float, warm_up_s: float, warm_up_runs: int = 3
) -> int:
    """How many calls make a sample of at least `sample_s`, after warming up for `warm_up_s` and `warm_up_runs` calls.

    Taken from the fastest stretch of the warm-up in wall time, so a pause does not shorten the samples. At least 1.
    """
    return runs_filling(
        lambda runs: timed(run, runs, clock), sample_s=sample_s, warm_up_s=warm_up_s, warm_up_runs=warm_up_runs
    )


def runs_filling(stretch: Callable[[int], Timing], *, sample_s: float, warm_up_s: float, warm_up_runs: int = 3) -> int:
    """As `runs_lasting`, of what times that many calls as one stretch."""
    fastest_s, spent_s, done, runs = math.inf, 0.0, 0, 1
    while spent_s < warm_up_s or done < warm_up_runs:
        timing = stretch(runs)
        fastest_s = min(fastest_s, timing.wall_s)
        spent_s += timing.wall_ns / 1e9
        done += runs
        runs = min(2 * runs, max(1, math.ceil(sample_s / max(fastest_s, 1e-9))))
    return max(1, math.ceil(sample_s / max(fastest_s, 1e-9)))


def contention(clock: Clock, *, spin_s: float = 0.001) -> float:
    """Wall over processor time of a short computation in this thread: 1 on a quiet machine, 2 when it shares a core."""
    timing = timed(lambda: _spin(clock, spin_s), 1, clock)
    return timing.wall_ns / max(timing.cpu_ns, 1)


def _spin(clock: Clock, seconds: float) -> None:
    end = clock.cpu_ns() + int(seconds * 1e9)
    while clock.cpu_ns() < end:
        pass


@contextmanager
def _uncollected() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
