"""Measure: exported files, timed by the runtimes that would serve them, compared fairly on a shared machine."""

from condensa_core.bench.compare import compare
from condensa_core.bench.gate import Verdict, judge
from condensa_core.bench.inputs import Feeds, InputRequest, Prepared, parse_shapes, prepare
from condensa_core.bench.machine import Machine, describe_machine
from condensa_core.bench.measurement import Comparison, Measurement, Ratio
from condensa_core.bench.model_file import ModelFile, examine, require_room
from condensa_core.bench.runner import (
    RUNTIMES,
    DeviceTimed,
    Runner,
    fitting,
    open_runner,
    require_installed,
    runtime_named,
)
from condensa_core.bench.statistics import Interval, Quantiles
from condensa_core.bench.target import BenchTarget
from condensa_core.bench.tensor_types import TensorSignature

__all__ = [
    "RUNTIMES",
    "BenchTarget",
    "Comparison",
    "DeviceTimed",
    "Feeds",
    "InputRequest",
    "Interval",
    "Machine",
    "Measurement",
    "ModelFile",
    "Prepared",
    "Quantiles",
    "Ratio",
    "Runner",
    "TensorSignature",
    "Verdict",
    "compare",
    "describe_machine",
    "examine",
    "fitting",
    "judge",
    "open_runner",
    "parse_shapes",
    "prepare",
    "require_installed",
    "require_room",
    "runtime_named",
]
