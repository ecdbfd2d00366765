"""What TensorRT says while it builds: errors in one sentence, and the memory figures that nothing else tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

_MEMORY: Final = {
    "weights": re.compile(r"Total Weights Memory: (\d+) bytes"),
    "activations": re.compile(r"Total Activation Memory: (\d+) bytes"),
    "scratch": re.compile(r"Max Scratch Memory: (\d+) bytes"),
}
# The first logger a process gives to TensorRT stays the one of all later builders, so there is one, that is listened to
# by one build at a time.
_LOGGERS: Final[dict[str, Any]] = {}
_BUILDING: Final = Lock()


class BuildLog:
    """The lines of one build from INFO up, the errors apart."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []

    def add(self, severity: str, line: str) -> None:
        if severity == "VERBOSE":
            return
        self.lines.append(f"{severity}: {line}")
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(line)

    def memory(self, what: str) -> int | None:
        """Bytes of `weights`, `activations` or `scratch`, the last that were told; None if none were."""
        found = [match[1] for line in self.lines if (match := _MEMORY[what].search(line))]
        return int(found[-1]) if found else None


@contextmanager
def listening(module: Any) -> Iterator[tuple[Any, BuildLog]]:
    """The logger to build with and what it hears within the block; other threads wait for their turn."""
    name = module.__name__
    with _BUILDING:
        logger = _LOGGERS.get(name)
        if logger is None:
            logger = _LOGGERS[name] = _logger(module)
        logger.heard = BuildLog()
        try:
            yield logger, logger.heard
        finally:
            logger.heard = None


def _logger(module: Any) -> Any:
    class Logger(module.ILogger):
        """Hands lines on to the build that listens; between builds nobody does."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)  # super() leaves the native half unmade
            self.heard: BuildLog | None = None

        def log(self, severity: Any, line: str) -> None:
            if self.heard is not None:
                self.heard.add(severity.name, line)

    return Logger()
