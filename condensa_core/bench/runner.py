"""Runtimes that can run a file, by name."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, runtime_checkable

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.target import BenchTarget
from condensa_core.errors import UsageError


class Runner(Protocol):
    """A file loaded by a runtime, with its inputs in place. Inputs and outputs stay where the runtime computes."""

    runtime: str  # name and version of the runtime
    provider: str  # what really computes, as the runtime calls it
    load_s: float  # wall time the runtime took to make the file runnable

    def run(self) -> None:
        """One inference on the inputs, finished when it returns."""

    def outputs(self) -> Feeds:
        """What the last `run` computed, by name in the model's order, copied to the host; never called while timing."""

    def __enter__(self) -> Runner: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class DeviceTimed(Protocol):
    """What a runner offers besides, whose device has a clock of its own (the events of a CUDA stream)."""

    def device_ns(self, runs: int) -> int:
        """Nanoseconds that `runs` inferences in a row took on the device, transfers to and from it left out."""


# Loaded when asked for: a runtime that is not installed must not stop the others. Each is a class, or a function,
# of (path, target, feeds).
RUNNERS: Final = {"onnxruntime": "condensa_core.bench.onnxruntime_runner:OnnxRuntimeRunner"}
ANNOUNCED: Final = ("openvino", "tensorrt", "tensorrt-rtx", "torch")


def open_runner(target: BenchTarget, path: str | Path, feeds: Feeds) -> Runner:
    """The file loaded for `target`, fed with one array for each of its inputs; use it as a context manager.

    UsageError for an unknown runtime or a file it cannot take, MissingRuntime if the runtime or device is not there.
    """
    if target.backend in ANNOUNCED:
        raise UsageError(f"runtime {target.backend!r} is not available in this version; known: {', '.join(RUNNERS)}")
    if target.backend not in RUNNERS:
        near = difflib.get_close_matches(target.backend, RUNNERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(RUNNERS)
        raise UsageError(f"no runtime called {target.backend!r}", hint=hint)
    module, _, name = RUNNERS[target.backend].partition(":")
    runner: Runner = getattr(import_module(module), name)(Path(path), target, feeds)
    return runner
