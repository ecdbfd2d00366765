"""A file's first inference while it is waited for: a model may hold a loop that never ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from condensa_core.errors import CondensaError
from condensa_core.progress import Listener, Note

PATIENCE_S: Final = 60.0


@contextmanager
def coming_back(what: str, listener: Listener, timeout_s: float | None = None) -> Iterator[None]:
    """Inside, a Note tells that `what` is waited for: after a minute, or half of a shorter timeout, and again after
    twice as long, and so on.

    After `timeout_s` SIGALRM ends this process, as nothing else ends a runtime that is stuck: for callers that work in
    a process of their own. None never does. The listener is called from a thread of its own.
    """
    over = threading.Event()
    patience_s = PATIENCE_S if timeout_s is None else min(PATIENCE_S, timeout_s / 2)
    thread = threading.Thread(target=_tell, args=(over, what, listener, patience_s, timeout_s), daemon=True)
    thread.start()
    if timeout_s is not None:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)  # of the kernel: a runtime may never let a thread of ours run
    try:
        yield
    finally:
        if timeout_s is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        over.set()
        thread.join()


def _tell(over: threading.Event, what: str, listener: Listener, patience_s: float, timeout_s: float | None) -> None:
    begun, wait_s = time.monotonic(), patience_s
    while not over.wait(wait_s):
        lasted = time.monotonic() - begun
        end = f"kill -9 {os.getpid()} ends it" if timeout_s is None else f"it is given up after {timeout_s:g} s"
        with suppress(CondensaError):  # a front end that wants to stop: not this thread's affair
            listener(Note(f"{what} has not come back for {lasted:.0f} s; {end}", level="warning"))
        wait_s = lasted
