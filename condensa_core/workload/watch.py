"""The user's code while it runs: what has not come back for a while is named, with the line where it stands."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from condensa_core.errors import CondensaError
from condensa_core.progress import Listener, Note

PATIENCE_S: Final = 60.0
_OURS: Final = Path(__file__).parents[1]

# By thread, what runs in it and since when: a module's, for the user's code is called from everywhere.
_running: dict[int, tuple[str, float]] = {}


@contextmanager
def seen_running(name: str) -> Iterator[None]:
    """Until the block ends, `name` is what this thread is busy with."""
    thread, outer = threading.get_ident(), _running.get(threading.get_ident())
    _running[thread] = name, time.monotonic()
    try:
        yield
    finally:
        if outer is None:
            _running.pop(thread, None)
        else:
            _running[thread] = outer


@contextmanager
def watching(
    listener: Listener, log: Callable[[str], None] = lambda text: None, *, patience_s: float = PATIENCE_S
) -> Iterator[None]:
    """Inside, a Note says what of the user's code has run for `patience_s`, and again after twice as long, and so on;
    `log` is given the whole stack. Nothing is ended: it may be slow, and not stuck.

    Both are called from a thread of their own.
    """
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(over, listener, log, patience_s), daemon=True, name="condensa-watch")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(over: threading.Event, listener: Listener, log: Callable[[str], None], patience_s: float) -> None:
    told: dict[tuple[int, float], float] = {}  # what was told of, and how long it had run by then
    while not over.wait(patience_s / 4):
        now = time.monotonic()
        for thread, (name, since) in list(_running.items()):
            lasted = now - since
            if lasted < max(patience_s, 2 * told.get((thread, since), 0.0)):
                continue
            frame = sys._current_frames().get(thread)
            if frame is None:
                continue
            told[thread, since] = lasted
            stack = traceback.extract_stack(frame)
            with suppress(CondensaError):  # the disk, or a front end that wants to stop: not this thread's affair
                log(f"{name} has run for {lasted:.0f} s\n" + "".join(stack.format()))
            text = f"{name} has not come back for {lasted:.0f} s: it is at {_line(stack)}"
            with suppress(CondensaError):
                listener(Note(f"{text}; stop with Ctrl-C twice if it hangs", level="warning"))


def _line(stack: traceback.StackSummary) -> str:
    """The innermost line outside condensa and installed packages, else the innermost of all."""
    others = [f for f in stack if not Path(f.filename).is_relative_to(_OURS)]
    own = [f for f in others if not ("site-packages" in f.filename or f.filename.startswith((sys.base_prefix, "<")))]
    frame = (own or stack)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
