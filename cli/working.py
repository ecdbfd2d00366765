"""The frame around every call that takes long: progress on stderr, and signals that stop at the next event."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from condensa_core.errors import Interrupted
from condensa_core.progress import Begun, Event, Listener, MidStep

from .console import say
from .isolation import stdout_kept
from .progress import display
from .stops import stops

# An L step that ends soon is waited for, since it is lost otherwise; Slurm and Kubernetes wait 30 s for a process.
MID_STEP_S: Final = 10.0


@contextmanager
def working(*, quiet: bool = False, verbose: bool = False, resumable: bool = False) -> Iterator[Listener]:
    """A listener for one call of the flow.

    The first of `stops` raises `Interrupted` at the next event, where the core is at a safe point, in the middle of an
    L step only after MID_STEP_S; the second one stops at once. So does the first of a `resumable` command before it has
    begun: nothing is there to be kept whole. What is printed meanwhile goes to stderr, whoever prints it: stdout
    belongs to the result.
    """
    asked_at: float | None = None
    begun = not resumable

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal asked_at
        if asked_at is not None or not begun:
            raise KeyboardInterrupt
        asked_at = time.monotonic()
        _say_at_once(f"{signal.Signals(number).name}: stopping at the next safe point; once more stops at once")

    with stdout_kept(), _crash_traced(), _handling(stop), display(quiet=quiet, verbose=verbose) as draw:

        def listener(event: Event) -> None:
            nonlocal begun
            late = asked_at is not None and time.monotonic() - asked_at >= MID_STEP_S
            if asked_at is not None and (late or not isinstance(event, MidStep)):
                raise Interrupted("interrupted at a safe point")
            begun = begun or isinstance(event, Begun)
            draw(event)

        yield listener


def _say_at_once(text: str) -> None:
    """Print on stderr from a signal handler, which may have come in the middle of another print."""
    try:
        say(text)
    except RuntimeError:  # Python's streams refuse to be entered twice
        os.write(2, f"{text}\n".encode())


@contextmanager
def _crash_traced() -> Iterator[None]:
    """A crash of this process says on stderr where its Python stood, unless somebody else is to be told."""
    if faulthandler.is_enabled():
        yield
        return
    faulthandler.enable(2)
    try:
        yield
    finally:
        faulthandler.disable()


@contextmanager
def _handling(handler: object) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = {number: signal.getsignal(number) for number in stops()}
    try:
        for number in before:
            signal.signal(number, handler)  # type: ignore[arg-type]
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
