"""Where and how a file is run."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from condensa_core.errors import UsageError
from condensa_core.platforms import DEVICES


@dataclass(frozen=True)
class BenchTarget:
    """A runtime on a device, the samples per inference, and how much it may do at once.

    `streams` inferences are under way together, with `threads` threads each. UsageError for impossible values.
    """

    backend: str = "onnxruntime"
    device: str = "cpu"
    batch: int = 1
    threads: int = 1
    streams: int = 1

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise UsageError(f"no device called {self.device!r}; known: {', '.join(DEVICES)}")
        for name in ("batch", "threads", "streams"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def cpu_timed(self) -> bool:
        """Whether thread-CPU time is the whole of the work: one thread, which is then the calling one, on the CPU.

        Never on Windows, whose clock for it is too coarse.
        """
        # Of Windows a thread's time moves in steps of 15.6 ms, longer than a sample, whatever resolution Python tells.
        return self.device == "cpu" and self.threads == self.streams == 1 and sys.platform != "win32"
