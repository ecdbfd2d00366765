"""Runtimes that can run a file, by name."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from condensa_core.bench.target import BenchTarget
from condensa_core.errors import UsageError
from condensa_core.randomness import Seed


class Runner(Protocol):
    """A file loaded by a runtime, with prepared inputs. Inputs and outputs stay where the runtime computes."""

    runtime: str  # name and version of the runtime
    provider: str  # what really computes, as the runtime calls it
    load_s: float  # wall time the runtime took to make the file runnable

    def run(self) -> None:
        """One inference on the prepared inputs, finished when it returns."""

    def __enter__(self) -> Runner: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


# Loaded when asked for: a runtime that is not installed must not stop the others.
RUNNERS: Final = {"onnxruntime": "condensa_core.bench.onnxruntime_runner:OnnxRuntimeRunner"}
DEFAULT_SEED: Final = Seed()
ANNOUNCED: Final = ("openvino", "tensorrt", "tensorrt-rtx", "torch")


def open_runner(target: BenchTarget, path: str | Path, *, seed: Seed = DEFAULT_SEED) -> Runner:
    """The file loaded for `target`, with random inputs by `seed`; use it as a context manager.

    UsageError for an unknown runtime or a file it cannot take, MissingRuntime if the runtime or device is not there.
    """
    if target.backend in ANNOUNCED:
        raise UsageError(f"runtime {target.backend!r} is not available in this version; known: {', '.join(RUNNERS)}")
    if target.backend not in RUNNERS:
        near = difflib.get_close_matches(target.backend, RUNNERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(RUNNERS)
        raise UsageError(f"no runtime called {target.backend!r}", hint=hint)
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    if not path.stat().st_size:
        raise UsageError(f"{path} is empty")
    module, _, name = RUNNERS[target.backend].partition(":")
    runner: Runner = getattr(import_module(module), name)(path, target, seed)
    return runner
