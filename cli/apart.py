"""Work done in a child process: a runtime that crashes on a hostile file must not take the message with it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from condensa_core.errors import Interrupted, RunFailed

from .exit_codes import INTERRUPTED
from .stops import stops

_PR_SET_PDEATHSIG: Final = 1  # Linux: the signal for a child whose parent dies


def in_a_child(work: Callable[[], int], what: str) -> int:
    """The exit code that `work` returns in a forked process; RunFailed, which names `what`, if a signal ended that.

    The child computes as any process does, so what it times is timed as ever: this one only waits. What asks to stop
    goes on to it, a third one ends it whatever it does.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _work(work)
    with _forwarding(pid) as forwarded:
        _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    if forwarded:
        raise Interrupted("interrupted")
    number = os.WTERMSIG(status)
    name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    if number == signal.SIGALRM:
        hint = "a file that computes for ever is not worth a longer --timeout; one of which an engine is built may be"
        raise RunFailed(f"{what} was given up: a file was not loaded and run once within --timeout", hint=hint)
    if number == signal.SIGKILL:
        hint = "the system ends what takes more memory than there is: try a smaller batch, or a larger machine"
    else:
        hint = "the runtime crashed, which a sound file should not make it do: try another version or --runtime"
    raise RunFailed(f"{what} ended by {name}", hint=hint)


def _work(work: Callable[[], int]) -> None:
    """In the child: never returns, and skips what the interpreter does at its end, where runtimes may crash, too."""
    code = 70
    try:
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the parent alone, which passes it on: once, not twice
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        code = work()
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        with suppress(OSError, ValueError):  # the reader may have left
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


@contextmanager
def _forwarding(pid: int) -> Iterator[list[int]]:
    """The signals that were passed on, while the block lasts."""
    passed: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        passed.append(number)
        with suppress(ProcessLookupError):
            os.kill(pid, number if len(passed) < 3 else signal.SIGKILL)

    before = {number: signal.signal(number, forward) for number in stops()}
    try:
        yield passed
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
