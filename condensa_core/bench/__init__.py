"""Measure: exported files, timed by the runtimes that would serve them, compared fairly on a shared machine."""

from condensa_core.bench.compare import compare
from condensa_core.bench.gate import Verdict, judge
from condensa_core.bench.machine import Machine, describe_machine
from condensa_core.bench.measurement import Comparison, Measurement, Ratio
from condensa_core.bench.runner import Runner, open_runner
from condensa_core.bench.statistics import Interval, Quantiles
from condensa_core.bench.target import BenchTarget

__all__ = [
    "BenchTarget",
    "Comparison",
    "Interval",
    "Machine",
    "Measurement",
    "Quantiles",
    "Ratio",
    "Runner",
    "Verdict",
    "compare",
    "describe_machine",
    "judge",
    "open_runner",
]
