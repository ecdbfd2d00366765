"""The records of a benchmark, units in their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal

from condensa_core.bench.machine import Machine
from condensa_core.bench.statistics import FEWEST, Interval, Quantiles, pooled_ratio_interval, ratio_interval
from condensa_core.bench.stretch import ClockName
from condensa_core.bench.target import BenchTarget
from condensa_core.bench.transfers import Transfers
from condensa_core.errors import UsageError
from condensa_core.randomness import Seed

SCHEMA = "condensa.bench/1"
# Two sessions of one file differ by up to 2 % in earnest, by where their memory happens to lie: measured on 24 pairs of
# ONNX Runtime sessions under load 8, medians 0.987 to 1.021, 2 of 24 intervals without 1 but none beyond this.
RESOLUTION = 0.02
NOISY = 1.05  # wall over processor time; a quiet machine stays below 1.02


@dataclass(frozen=True)
class Ratio(Interval):
    """How many times faster one file is than another, with its 95 % interval.

    `certain` is whether it rests on enough rounds for that: of fewer than 6, the interval is just their range.
    """

    certain: bool = True

    @property
    def verdict(self) -> Literal["faster", "slower", "not distinguishable", "too few rounds"]:
        """A difference is claimed when the whole interval lies more than 2 % away from 1."""
        if not self.certain:
            return "too few rounds"
        if self.low > 1 + RESOLUTION:
            return "faster"
        return "slower" if self.high < 1 / (1 + RESOLUTION) else "not distinguishable"


@dataclass(frozen=True)
class Measurement:
    """What a runtime did with one file.

    `clock` says what `round_s` and `throughput_per_s`, and so all ratios, are in: processor time of the one thread that
    works, which neighbours on the machine disturb little; the time of the device by its own clock, without transfers;
    or wall time. `round_wall_s` has the wall time of the same stretches. `latency_s` is in processor time where they
    are, else in wall time, as `latency_wall_s` always is: from asking until all is computed, without transfers.
    Latencies are of single inferences of the whole batch, timed one by one, in one stream (on ONNX Runtime with the
    threads of all); `throughput_per_s` counts samples and is batch / median of `round_s`, the mean seconds of each
    round's long sample per inference, of all streams. `single_s` has the latencies behind `latency_s`, round by round.
    `transfers` is None on the CPU.
    """

    name: str
    file: str
    size_bytes: int  # with the files that hold its weights
    runtime: str  # name and version
    provider: str
    rounds: int
    runs: int  # timed inferences, warm-up excluded
    clock: ClockName
    throughput_per_s: float
    latency_s: Quantiles
    latency_wall_s: Quantiles
    round_s: tuple[float, ...]
    round_wall_s: tuple[float, ...]
    single_s: tuple[tuple[float, ...], ...]
    noise: float  # wall / processor time, of several threads (waiting for a core + running) / running: 1 is quiet
    load_s: float  # wall
    first_inference_s: float  # wall
    transfers: Transfers | None = None

    @property
    def cpu_time(self) -> bool:
        """Whether `round_s` and `latency_s` are in processor time."""
        return self.clock == "processor"

    @property
    def noisy(self) -> bool:
        """Whether other work on the machine makes wall times of this measurement meaningless."""
        return self.noise > NOISY

    def to_json(self) -> dict[str, Any]:
        """Plain data; the thousands of single latencies stay out, their quantiles tell enough."""
        record = asdict(self)
        del record["single_s"]
        quantiles = {"latency_s": self.latency_s.to_json(), "latency_wall_s": self.latency_wall_s.to_json()}
        return {**record, **quantiles, "cpu_time": self.cpu_time, "noisy": self.noisy}


@dataclass(frozen=True)
class Comparison:
    """Files measured in turns on one machine, by one clock, each as often. `stopped` says why the rounds ended.

    `loads` has the rounds of each time that all files were loaded, one after another. Where the system lays the pages
    of a file decides how its weights share the caches, and stays as it is until the file is loaded anew: no rounds of
    one load tell of it. The interval of a ratio holds those of all loads.
    """

    measurements: Mapping[str, Measurement]
    target: BenchTarget
    machine: Machine
    seed: Seed
    stopped: Literal["precise", "seconds", "rounds"]
    loads: tuple[int, ...] = ()  # empty: all rounds are of one

    def __post_init__(self) -> None:
        ways = {(m.runtime, m.clock, m.rounds, len(m.round_s)) for m in self.measurements.values()}
        assert len(ways) <= 1, f"times that cannot be compared: {sorted(ways)}"

    @property
    def noisy(self) -> bool:
        """Whether any of the measurements was disturbed."""
        return any(m.noisy for m in self.measurements.values())

    def measurement(self, name: str) -> Measurement:
        """The measurement of that name; UsageError if there is none."""
        if name not in self.measurements:
            raise UsageError(f"no measurement called {name!r}; measured: {', '.join(self.measurements)}")
        return self.measurements[name]

    def ratio(self, name: str, to: str) -> Ratio:
        """How many times faster `name` is than `to`, above 1 is faster: the median of the ratios of each round."""
        times, base = self.measurement(name).round_s, self.measurement(to).round_s
        seed = self.seed.child("ratio", name, to)
        return self._ratio(lambda of: ratio_interval(base[of], times[of], seed=seed), len(times))

    def latency_ratio(self, name: str, to: str, statistic: str) -> Ratio:
        """How many times shorter a latency is with `name` than with `to`: of the mean, p50, p90, p95 or p99.

        The tail has an interval of its own: it is far less certain than the median, and need not move with it.
        """
        times, base = self.measurement(name).single_s, self.measurement(to).single_s
        seed = self.seed.child("latency", statistic, name, to)
        return self._ratio(lambda of: pooled_ratio_interval(base[of], times[of], statistic, seed=seed), len(times))

    def _ratio(self, interval_of: Callable[[slice], Interval], rounds: int) -> Ratio:
        """The value of all rounds, with an interval that holds those of every load."""
        whole = interval_of(slice(None))
        ends = list(accumulate(self.loads or (rounds,)))
        parts = [interval_of(slice(start, end)) for start, end in pairwise((0, *ends))] if len(ends) > 1 else [whole]
        low, high = min(part.low for part in parts), max(part.high for part in parts)
        return Ratio(whole.value, low, high, certain=rounds >= FEWEST)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`; ratios are against the first file."""
        first, *others = self.measurements
        ratios = {name: self.ratio(name, first) for name in others}
        return {
            "schema": SCHEMA,
            "target": asdict(self.target),
            "machine": self.machine.to_json(),
            "seed": self.seed.root,
            "stopped": self.stopped,
            "loads": list(self.loads or (next(iter(self.measurements.values())).rounds,)),
            "noisy": self.noisy,
            "baseline": first,
            "measurements": {n: m.to_json() for n, m in self.measurements.items()},
            "ratios": {name: {**asdict(ratio), "verdict": ratio.verdict} for name, ratio in ratios.items()},
        }
