"""The first of the `condensa` command: from here to its end, a signal is an exit code."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from .exit_codes import INTERRUPTED


def main() -> None:
    """The `condensa` command. SIGTERM is Ctrl-C from the start, not only where `working` takes both."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from .app import program

        code = program(sys.argv[1:])
        _end_at_once_from_here()
    except KeyboardInterrupt:  # while libraries are loaded, or a second one while the first is answered
        _end_at_once_from_here()
        sys.stderr.write("error: interrupted\n")
        code = INTERRUPTED
    sys.exit(code)


def _end_at_once_from_here() -> None:
    """What is left is the interpreter's own ending, where Ctrl-C would be a traceback and death by the signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
