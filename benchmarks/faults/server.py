"""Commands in processes forked from one that has loaded everything: seconds a run instead of half a minute.

    LD_PRELOAD=failing_calls.so python server.py FOLDER_OF_THE_FIRST_SCENE

Takes orders on stdin, one JSON object a line, and answers each on stdout. A forked process calls what the `condensa`
command calls, `cli.app.exit_code_of`; only the start-up of the interpreter is saved.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
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
    was counted. `kill_after` is in seconds."""
    answered, answering = os.pipe()
    said, saying = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(order, answering, saying)
    os.close(answering)
    os.close(saying)
    kill_at = begun + order["kill_after"] if order.get("kill_after") is not None else math.inf
    texts = {answered: b"", said: b""}
    still = set(texts)
    while still:
        left_s = None if kill_at == math.inf else max(0.0, kill_at - time.monotonic())
        ready, _, _ = select.select(list(still), [], [], left_s)
        if not ready:
            os.kill(child, signal.SIGKILL)
            kill_at = math.inf
        for pipe in ready:
            content = os.read(pipe, 1 << 16)
            texts[pipe] += content
            if not content:
                still.remove(pipe)
                os.close(pipe)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    counted = json.loads(texts[answered]) if texts[answered] else {}
    return {
        "code": status,
        "seconds": time.monotonic() - begun,
        "said": texts[said].decode(errors="replace"),
        **counted,
    }


def _child(order: dict[str, Any], answer: int, said: int) -> None:
    code = 70
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.close(said)
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
        library.arm(order["under"].encode(), kind, at, error, int(fault.get("stays", False)))
        code = exit_code_of(order["arguments"])
        told = {
            "counts": {name: library.counted(i) for i, name in enumerate(KINDS)},
            "failed": library.first_failed().decode(),
        }
        library.arm(b"", -1, ctypes.c_long(0), 0, 0)
        os.write(answer, json.dumps(told).encode())
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    serve(Scene(folder, folder / "disk"))
