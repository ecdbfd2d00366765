"""Commands in processes forked from one that has loaded everything: seconds a run instead of half a minute.

    LD_PRELOAD=failing_calls.so python server.py FOLDER_OF_THE_FIRST_SCENE

Takes orders on stdin, one JSON object a line, and answers each on stdout. A forked process calls what the `condensa`
command calls, `cli.app.exit_code_of`; only the start-up of the interpreter is saved.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import random
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from condensa_cli.app import exit_code_of
from forks import KINDS
from scene import Scene

LINGER_S = 15.0  # what a process started may take to end after it
WORKER = b"search.worker"  # in the command line of a process that carries out trials


def serve(first: Scene) -> None:
    """Carry out orders, after a run in `first`: those to come need not load what it loaded."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ |= first.environment
    assert exit_code_of([*first.run, "--quiet"]) == 0, "the first run did not end well"
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(carried_out(json.loads(line))) + "\n")
        answers.flush()


def carried_out(order: dict[str, Any]) -> dict[str, Any]:
    """The exit code of the order's command (negative: the signal that ended it), its seconds, what it said, and what
    was counted.

    `signals` are [seconds after the start or after the signal before, name of the signal, whose], where whose is
    "command", "all" (the command and all that it started) or "worker" (one of those that carry out trials; where
    there is none the signal waits for one). `stopped_s` is the time from the last signal to the end, `delivered` how
    many there were; `left_behind` how many processes had to be ended afterwards.
    """
    answered, answering = os.pipe()
    said, saying = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(order, answering, saying)
    mark = f"CONDENSA_CACHE={order['environment']['CONDENSA_CACHE']}".encode()
    os.close(answering)
    os.close(saying)
    signals = list(order.get("signals", []))
    due = begun + signals[0][0] if signals else math.inf
    delivered, latest = 0, begun
    texts = {answered: b"", said: b""}
    still = set(texts)
    status: int | None = None
    ended = math.inf
    while still and time.monotonic() < ended + LINGER_S:
        now = time.monotonic()
        if status is None and now >= due:
            if _sent(child, mark, *signals[0][1:]):
                delivered, latest = delivered + 1, now
                signals.pop(0)
                due = now + signals[0][0] if signals else math.inf
            else:
                due = now + 0.02
        wait_s = max(0.0, min(due - now, 0.05))
        ready, _, _ = select.select(list(still), [], [], wait_s)
        for pipe in ready:
            content = os.read(pipe, 1 << 16)
            texts[pipe] += content
            if not content:
                still.remove(pipe)
                os.close(pipe)
        if status is None and (gone := os.waitpid(child, os.WNOHANG))[0]:
            status, ended = os.waitstatus_to_exitcode(gone[1]), time.monotonic()
    if status is None:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ended = time.monotonic()
    for pipe in still:
        os.close(pipe)
    left = _left(mark, ended + LINGER_S)
    counted = json.loads(texts[answered]) if texts[answered] else {}
    return {
        "code": status,
        "seconds": ended - begun,
        "stopped_s": ended - latest,
        "delivered": delivered,
        "left_behind": left,
        "said": texts[said].decode(errors="replace"),
        **counted,
    }


def _sent(child: int, mark: bytes, name: str, whose: str) -> bool:
    started = _started(mark)
    if whose == "worker":
        workers = [pid for pid in started if WORKER in _read(pid, "cmdline")]
        chosen = [random.choice(workers)] if workers else []
    else:
        chosen = [child, *started] if whose == "all" else [child]
    for pid in chosen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.Signals[name])
    return bool(chosen)


def _left(mark: bytes, until: float) -> int:
    """How many of the processes that it started are still there after a while; they are ended."""
    while (left := _started(mark)) and time.monotonic() < until:
        time.sleep(0.02)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def _started(mark: bytes) -> list[int]:
    """Processes that were started, not forked, with `mark` in their environment."""
    pids = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if mark in _read(pid, "environ").split(b"\0")]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended
        return b""


def _child(order: dict[str, Any], answer: int, said: int) -> None:
    code = 70
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.close(said)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command does at its start
        os.environ |= order["environment"]
        sys.argv = ["condensa", *order["arguments"]]
        if order.get("largest_file"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"], resource.RLIM_INFINITY))
        library = ctypes.CDLL(None)
        library.first_failed.restype = ctypes.c_char_p
        library.counted.restype = ctypes.c_long
        fault = order.get("fault") or {}
        kind = KINDS.index(fault["kind"]) if fault.get("kind") else -1
        at, error = ctypes.c_long(fault.get("at", 0)), fault.get("error", 0)
        library.arm(
            order["under"].encode(), order.get("part", "").encode(), kind, at, error, int(fault.get("stays", False))
        )
        code = exit_code_of(order["arguments"])
        told = {
            "counts": {name: library.counted(i) for i, name in enumerate(KINDS)},
            "failed": library.first_failed().decode(),
        }
        library.arm(b"", b"", -1, ctypes.c_long(0), 0, 0)
        os.write(answer, json.dumps(told).encode())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    serve(Scene(folder, folder / "disk"))
