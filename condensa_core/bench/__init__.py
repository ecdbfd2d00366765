"""Measure: exported files, timed by the runtimes that would serve them, compared fairly on a shared machine."""

from condensa_core.bench.compare import compare
from condensa_core.bench.difference import Difference
from condensa_core.bench.gate import (
    Bounds,
    Verdict,
    judge_engine,
    judge_outputs,
    judge_ratio,
    judge_size,
    judge_speed,
)
from condensa_core.bench.inputs import Feeds, InputRequest, Prepared, parse_shapes, prepare
from condensa_core.bench.machine import Machine, describe_machine
from condensa_core.bench.measurement import RESOLUTION, Comparison, Measurement, Ratio
from condensa_core.bench.model_file import ModelFile, examine, require_room
from condensa_core.bench.parity import Parity, Witness, parity_batches
from condensa_core.bench.runner import (
    RUNTIMES,
    DeviceTimed,
    Runner,
    fitting,
    open_runner,
    require_installed,
    require_present,
    require_streams,
    runtime_named,
)
from condensa_core.bench.sizes import FileSizes, sizes_of
from condensa_core.bench.statistics import Interval, Quantiles
from condensa_core.bench.target import BenchTarget
from condensa_core.bench.tensor_types import TensorSignature

__all__ = [
    "RESOLUTION",
    "RUNTIMES",
    "BenchTarget",
    "Bounds",
    "Comparison",
    "DeviceTimed",
    "Difference",
    "Feeds",
    "FileSizes",
    "InputRequest",
    "Interval",
    "Machine",
    "Measurement",
    "ModelFile",
    "Parity",
    "Prepared",
    "Quantiles",
    "Ratio",
    "Runner",
    "TensorSignature",
    "Verdict",
    "Witness",
    "compare",
    "describe_machine",
    "examine",
    "fitting",
    "judge_engine",
    "judge_outputs",
    "judge_ratio",
    "judge_size",
    "judge_speed",
    "open_runner",
    "parity_batches",
    "parse_shapes",
    "prepare",
    "require_installed",
    "require_present",
    "require_room",
    "require_streams",
    "runtime_named",
    "sizes_of",
]
