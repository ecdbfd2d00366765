"""A runner with the clocks of a GPU: what the arithmetic of device times can be held against without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from condensa_core.bench import BenchTarget, Feeds
from condensa_core.bench.clock import Clock

NS_PER_BYTE = 10
LAUNCH_NS, UPLOAD_NS, DOWNLOAD_NS = 50_000, 3_000_000, 7_000_000


class Bench:
    """The clocks of host and device, moved by the runners alone; `calls` is what they were asked, in order."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0
        self.calls: list[str] = []

    def spend(self, wall_ns: int, cpu_ns: int = 0) -> None:
        self.wall += wall_ns
        self.cpu += cpu_ns

    def cpu_ns(self) -> int:
        self.spend(100, 100)  # reading takes time, or a spinning thread would spin for ever
        return self.cpu

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.wall, self.cpu_ns)


BENCH = Bench()


class GpuRunner:
    """Computes for NS_PER_BYTE of its file; each call keeps the host for LAUNCH_NS besides."""

    runtime, provider, load_s = "stand-in 1", "stand-in", 0.0

    def __init__(self, path: Path, target: BenchTarget, feeds: Feeds) -> None:
        self._work_ns = path.stat().st_size * NS_PER_BYTE
        self.name = path.stem

    def run(self) -> None:
        BENCH.calls.append(f"{self.name} run")
        BENCH.spend(self._work_ns + LAUNCH_NS)

    def device_ns(self, runs: int) -> int:
        BENCH.calls.append(f"{self.name} device {runs}")
        BENCH.spend(runs * self._work_ns + LAUNCH_NS)
        return runs * self._work_ns

    def feed(self, feeds: Feeds) -> None:
        BENCH.calls.append(f"{self.name} feed")
        BENCH.spend(UPLOAD_NS)

    def outputs(self) -> Feeds:
        BENCH.calls.append(f"{self.name} outputs")
        BENCH.spend(DOWNLOAD_NS)
        return {"y": np.zeros(1, np.float32)}

    def __enter__(self) -> GpuRunner:
        return self

    def __exit__(self, *_: object) -> None:
        pass
