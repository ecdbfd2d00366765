"""Inferences without a pause, timed as the target asks and the runner can: host, device or several streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Literal

from condensa_core.bench.clock import Clock, Timing, timed
from condensa_core.bench.runner import DeviceTimed, Runner, Streaming
from condensa_core.bench.target import BenchTarget

ClockName = Literal["processor", "wall", "device"]
STREAMS_RUNS: Final = 8  # of each stream at least: at the end of a stretch the others wait for the last


def clock_of(runner: Runner, target: BenchTarget) -> ClockName:
    """Whose time stretches are compared by: that of the thread which does all the work, the device's own, or all."""
    if target.cpu_timed:
        return "processor"
    return "device" if isinstance(runner, DeviceTimed) else "wall"


def stretch_of(runner: Runner, target: BenchTarget, clock: Clock) -> Callable[[int], Timing]:
    """What times that many inferences in a row, or in the target's streams, as one stretch."""
    if target.streams > 1:
        assert isinstance(runner, Streaming)  # open_runner refuses runtimes that are not
        return partial(_together, runner.run_streams, clock=clock)
    if clock_of(runner, target) == "device" and isinstance(runner, DeviceTimed):
        return partial(_on_device, runner.device_ns, clock=clock)
    return partial(timed, runner.run, clock=clock)


def busy(runner: Runner, target: BenchTarget) -> tuple[Callable[[], None], int]:
    """A call that keeps all streams of the target at work, and how many inferences it makes."""
    if target.streams == 1:
        return runner.run, 1
    assert isinstance(runner, Streaming)
    some = STREAMS_RUNS * target.streams
    return partial(runner.run_streams, some), some


def seconds_by(name: ClockName, timing: Timing) -> float:
    """Seconds of one call by that clock; on the wall where the timing has none of the device."""
    if name == "device" and timing.device_ns is not None:
        return timing.device_ns / timing.runs / 1e9
    return timing.cpu_s if name == "processor" else timing.wall_s


def _together(run_streams: Callable[[int], None], runs: int, clock: Clock) -> Timing:
    return replace(timed(partial(run_streams, runs), 1, clock), runs=runs)


def _on_device(device_ns: Callable[[int], int], runs: int, clock: Clock) -> Timing:
    told: list[int] = []
    timing = timed(lambda: told.append(device_ns(runs)), 1, clock)
    return replace(timing, runs=runs, device_ns=told[0])
