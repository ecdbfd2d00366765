"""What it takes to bring inputs to a device and outputs back, apart from the inferences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

from condensa_core.bench.clock import Clock, timed
from condensa_core.bench.inputs import Feeds
from condensa_core.bench.runner import Runner

TIMES: Final = 20


@dataclass(frozen=True)
class Transfers:
    """Wall seconds, the median of `TIMES`: all inputs of an inference to the device, all outputs to the host.

    From and to ordinary memory of the host (not pinned), with the allocations that the runtime makes for it.
    """

    upload_s: float
    download_s: float


def transfers_of(runner: Runner, feeds: Feeds, clock: Clock) -> Transfers:
    """Measured on the runner after an inference; it is left with these inputs."""

    def seconds(move: Callable[[], object]) -> float:
        return median(timed(move, 1, clock).wall_s for _ in range(TIMES))

    upload_s = seconds(lambda: runner.feed(feeds))
    runner.run()
    return Transfers(upload_s, seconds(runner.outputs))
