"""One process for each piece of work, so that none can slow, leak into or outlive another."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def isolated(work: Callable[..., dict[str, Any]], *arguments: Any, cpu_seconds: int) -> dict[str, Any]:
    """The record that `work` returns in a forked process.

    Where it does not, a record whose verdict says why: TIMEOUT (of processor time, as the machine may be shared),
    DIED, or CRASH with the end of the traceback.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(sender, work, arguments, cpu_seconds))
    child.start()
    sender.close()
    try:
        record = receiver.recv()
    except EOFError:
        record = None
    child.join()
    if record is not None:
        return record
    return {"verdict": "TIMEOUT" if child.exitcode in (-signal.SIGXCPU, -signal.SIGKILL) else "DIED"}


def _work(sender: Connection, work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...], limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    try:
        sender.send(work(*arguments))
    except Exception:
        sender.send({"verdict": "CRASH", "error": traceback.format_exc()[-1500:]})
