"""The first of the `condensa` command: from here to its end, a signal is an exit code."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from .exit_codes import INTERRUPTED
from .stops import stops


def main() -> None:
    """The `condensa` command. What asks it to stop is Ctrl-C from the start, not only where `working` takes it."""
    _fill_standard_streams()
    for number in stops():
        if number != signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
    try:
        from .app import program

        code = program(sys.argv[1:])
        _end_at_once_from_here()
    except KeyboardInterrupt:  # while libraries are loaded, or a second one while the first is answered
        _end_at_once_from_here()
        sys.stderr.write("error: interrupted\n")
        code = INTERRUPTED
    sys.exit(code)


def _fill_standard_streams() -> None:
    """Where stdin, stdout or stderr is closed: else the next file, the journal perhaps, gets what is printed there."""
    for handle in (0, 1, 2):
        try:
            os.fstat(handle)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free


def _end_at_once_from_here() -> None:
    """What is left is the interpreter's own ending, where Ctrl-C would be a traceback and death by the signal."""
    for number in stops():
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
