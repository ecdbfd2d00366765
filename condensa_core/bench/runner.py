"""Runtimes that can run a file, by name."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, runtime_checkable

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.model_file import KIND_NAMES, Kind, ModelFile
from condensa_core.bench.target import BenchTarget
from condensa_core.errors import MissingRuntime, UsageError
from condensa_core.progress import Listener, silent


class Runner(Protocol):
    """A file loaded by a runtime, with its inputs in place. Inputs and outputs stay where the runtime computes."""

    runtime: str  # name and version of the runtime
    provider: str  # what really computes, as the runtime calls it
    load_s: float  # wall time the runtime took to make the file runnable

    def run(self) -> None:
        """One inference on the inputs, finished when it returns."""

    def feed(self, feeds: Feeds) -> None:
        """Other arrays, of the same names and shapes, take the place of the inputs; they are there when it returns."""

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


@runtime_checkable
class Streaming(Protocol):
    """What a runner offers besides, which computes several inferences at once: its `run` is in the first stream."""

    def run_streams(self, runs: int) -> None:
        """`runs` inferences on the inputs, as many at a time as there are streams, finished when it returns."""

    def outputs(self, stream: int = 0) -> Feeds:
        """What the last inference of a stream computed, as in `Runner`."""


@dataclass(frozen=True)
class Runtime:
    """A runtime by what makes its runner of (path, target, feeds), loaded when asked for, and the files it takes."""

    maker: str  # module:name of a class or a function
    takes: Kind
    package: str  # what it imports
    install: str  # what to give to pip for it
    streams: bool = False  # whether its runners can be Streaming, on the CPU
    builds: bool = False  # its maker takes a listener, too: what it builds first takes long


_ORT: Final = "condensa_core.bench.onnxruntime_runner:OnnxRuntimeRunner"
_TORCH: Final = "condensa_core.bench.torch_runner"
_TENSORRT: Final = "condensa_core.bench.tensorrt_runner:TensorRtRunner"
# A runtime that is not installed must not stop the others, nor what nobody asked for delay the start.
RUNTIMES: Final = {
    "onnxruntime": Runtime(_ORT, "onnx", "onnxruntime", "'.[cpu]' from a checkout", streams=True),
    "onnxruntime-tensorrt": Runtime(_ORT, "onnx", "onnxruntime", "'.[gpu]' from a checkout"),
    "openvino": Runtime(
        "condensa_core.bench.openvino_runner:OpenVinoRunner",
        "onnx",
        "openvino",
        "'.[openvino]' from a checkout",
        streams=True,
    ),
    "tensorrt": Runtime(_TENSORRT, "onnx", "tensorrt", "tensorrt", builds=True),
    "tensorrt-rtx": Runtime(_TENSORRT, "onnx", "tensorrt_rtx", "'.[tensorrt]' from a checkout", builds=True),
    "torch": Runtime(f"{_TORCH}:TorchRunner", "torch-program", "torch", "torch"),
    "torch-inductor": Runtime(f"{_TORCH}:InductorRunner", "torch-program", "torch", "torch"),
}


# Runtimes that need more than their package: module and function of a target, which raises MissingRuntime, or
# MachineError.
_NEEDS: Final = {
    **dict.fromkeys(("onnxruntime", "onnxruntime-tensorrt"), ("condensa_core.bench.onnxruntime_runner", "require")),
    "openvino": ("condensa_core.bench.openvino_runner", "require"),
    **dict.fromkeys(("tensorrt", "tensorrt-rtx"), ("condensa_core.bench.tensorrt_runner", "require")),
    "torch": (_TORCH, "require"),
    "torch-inductor": (_TORCH, "require_inductor"),
}


MOST_THREADS: Final = 4  # for each logical core


def runtime_named(name: str) -> Runtime:
    """UsageError with a suggestion if there is none."""
    if name not in RUNTIMES:
        near = difflib.get_close_matches(name, RUNTIMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(RUNTIMES)
        raise UsageError(f"no runtime called {name!r}", hint=hint)
    return RUNTIMES[name]


def require_installed(name: str) -> None:
    """MissingRuntime, with what to install, where the package of the runtime is not there; nothing is loaded."""
    runtime = runtime_named(name)
    if find_spec(runtime.package) is None:
        hint = f"pip install {runtime.install}"
        raise MissingRuntime(f"runtime {name} needs {runtime.package}, which is not installed", hint=hint)


def require_streams(target: BenchTarget) -> None:
    """UsageError where the target has several streams and its runtime cannot, or threads without end; loads nothing."""
    threads, most = target.threads * target.streams, MOST_THREADS * (os.cpu_count() or 1)
    if threads > most:
        raise UsageError(
            f"{threads} threads are more than {most}, {MOST_THREADS} for each core of this machine",
            hint="more only wait for each other, and a runtime that starts them can hardly be stopped",
        )
    if target.streams > 1 and not (runtime_named(target.backend).streams and target.device == "cpu"):
        able = " and ".join(name for name, runtime in RUNTIMES.items() if runtime.streams)
        raise UsageError(
            f"runtime {target.backend} on the {target.device} is measured in one stream",
            hint=f"several run on the cpu with {able}",
        )


def require_present(target: BenchTarget) -> None:
    """Errors unless all is there that the target asks for; no file is loaded.

    MissingRuntime, with what to install, for the runtime or the device. UsageError or MachineError for more streams or
    threads than the runtime takes here.
    """
    require_installed(target.backend)
    require_streams(target)
    if target.backend in _NEEDS:
        module, function = _NEEDS[target.backend]
        getattr(import_module(module), function)(target)


def fitting(file: ModelFile, runtime: str) -> ModelFile:
    """The file itself; UsageError if it is of a kind that the runtime does not take."""
    takes = runtime_named(runtime).takes
    if file.kind != takes:
        others = " or ".join(name for name, other in RUNTIMES.items() if other.takes == file.kind)
        raise UsageError(
            f"runtime {runtime} takes {KIND_NAMES[takes]}, and {file.path} is none", hint=f"for it there is {others}"
        )
    return file


def open_runner(target: BenchTarget, path: str | Path, feeds: Feeds, listener: Listener = silent) -> Runner:
    """The file loaded for `target`, fed with one array for each of its inputs; use it as a context manager.

    A runtime that builds something of the file first tells `listener`, and stops where that raises.
    UsageError for an unknown runtime or a file it cannot load, MissingRuntime if the runtime or device is not there.
    """
    runtime = runtime_named(target.backend)
    require_streams(target)
    module, _, name = runtime.maker.partition(":")
    told = (listener,) if runtime.builds else ()
    runner: Runner = getattr(import_module(module), name)(Path(path), target, feeds, *told)
    return runner
