"""The frame around every call that takes long: progress on stderr, and signals that stop at the next event."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from condensa_core.errors import Interrupted
from condensa_core.progress import Event, Listener

from .console import say
from .isolation import stdout_kept
from .progress import display


@contextmanager
def working(*, quiet: bool = False, verbose: bool = False) -> Iterator[Listener]:
    """A listener for one call of the flow.

    The first SIGINT or SIGTERM raises `Interrupted` at the next event, where the core is at a safe point; the second
    one stops at once. What is printed meanwhile goes to stderr, whoever prints it: stdout belongs to the result.
    """
    asked = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say(f"{signal.Signals(number).name}: stopping at the next safe point; once more stops at once")

    with stdout_kept(), _handling(stop), display(quiet=quiet, verbose=verbose) as draw:

        def listener(event: Event) -> None:
            if asked.is_set():
                raise Interrupted("interrupted; what was finished is kept")
            draw(event)

        yield listener


@contextmanager
def _handling(handler: object) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, handler)  # type: ignore[arg-type]
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
