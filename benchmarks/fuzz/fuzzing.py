"""Cases of a target one after another in a worker process of limited memory; one that kills or stops it is found out.

A target makes case `n` of a seed from `n` alone, so a record names all that it takes to see it again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

SEED: Final = 7
REPEATED_S: Final = 1.0  # a case of more wall time is run again: it may have waited for the processor
_PEAK_RESET: Final = Path("/proc/self/clear_refs")
_STATUS: Final = Path("/proc/self/status")


class Failure(Exception):
    """A case that ended otherwise than it may; the text is the reason."""


@dataclass(frozen=True)
class Record:
    """One case: what was changed, how it ended, and what it took. `failure` is empty where it ended as it may."""

    number: int
    mutation: str
    outcome: str
    cpu_s: float
    wall_s: float
    peak_bytes: int
    failure: str = ""


@dataclass(frozen=True)
class Target:
    """`prepare(folder)` is called once in a worker; `case(draw, folder)` gives what was changed, and what to run.

    The run returns its outcome in a few words, or raises: any exception is a failure.
    """

    name: str
    what: str
    cases: int
    limit_s: float  # a case that takes longer is stopped, and failed
    memory_bytes: int  # address space of the worker
    prepare: Callable[[Path], None]
    case: Callable[[random.Random, Path], tuple[str, Callable[[], str]]]


def draw_of(target: Target, number: int) -> random.Random:
    """The numbers that make a case."""
    return random.Random(f"{SEED} {target.name} {number}")


def fuzz(target: Target, numbers: Iterable[int], folder: Path) -> Iterator[Record]:
    """The records of these cases, in order; `folder` is theirs."""
    left = list(numbers)
    while left:
        done = 0
        for record in _worker(target, left, folder):
            done += 1
            yield record
        left = left[done:]


def run_here(target: Target, number: int, folder: Path) -> Record:
    """One case in this process, which must be prepared."""
    name, run = target.case(draw_of(target, number), folder)
    with contextlib.suppress(OSError):
        _PEAK_RESET.write_text("5")
    walls, cpu, failure = [], 0.0, ""
    while not walls or (min(walls) > REPEATED_S and len(walls) < 3):
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        try:
            outcome = run()
        except Failure as err:
            outcome, failure = "failed", str(err)
        except BaseException:  # whatever it is, it is what is looked for
            outcome, failure = "failed", traceback.format_exc(limit=-6)
        walls.append(time.perf_counter() - wall_before)
        cpu = time.process_time() - cpu_before
    return Record(number, name, outcome, round(cpu, 4), round(min(walls), 4), _peak_bytes(), failure)


def _worker(target: Target, numbers: list[int], folder: Path) -> Iterator[Record]:
    """Records until all are done or one ended the worker, which is then the last."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _work(target, numbers, folder, write)
    os.close(write)
    try:
        yield from _records(target, numbers, folder, pid, read)
    finally:  # also where nobody wants any more of them
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _records(target: Target, numbers: list[int], folder: Path, pid: int, read: int) -> Iterator[Record]:
    waiting = iter(numbers)
    with os.fdopen(read, "rb", buffering=0) as pipe:
        buffer = b""
        stopped = ""
        began = False
        while True:
            limit = target.limit_s if began else 600.0
            if not select.select([pipe], [], [], limit)[0]:
                stopped = f"still running after {limit:g} s"
                os.kill(pid, signal.SIGKILL)
                break
            chunk = pipe.read(65536)
            if not chunk:
                break
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if line == b"ready":
                    began = True
                    continue
                next(waiting)
                yield Record(**json.loads(line))
    _, status = os.waitpid(pid, 0)
    killed = next(waiting, None)
    if killed is not None:
        if not stopped and os.WIFSIGNALED(status):
            stopped = f"the process died of {signal.Signals(os.WTERMSIG(status)).name}"
        mutation = target.case(draw_of(target, killed), folder)[0]
        yield Record(killed, mutation, "failed", 0.0, 0.0, 0, stopped or f"the process ended with {status}")


def _work(target: Target, numbers: list[int], folder: Path, pipe: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (target.memory_bytes, target.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = 1
    try:
        target.prepare(folder)
        os.write(pipe, b"ready\n")
        for number in numbers:
            record = run_here(target, number, folder)
            os.write(pipe, json.dumps(asdict(record)).encode() + b"\n")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _peak_bytes() -> int:
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def summary(target: Target, records: list[Record]) -> dict[str, Any]:
    """Counts and extremes of a target's records, as JSON values."""
    outcomes: dict[str, int] = {}
    mutations: dict[str, int] = {}
    for record in records:
        outcomes[record.outcome] = outcomes.get(record.outcome, 0) + 1
        mutations[record.mutation] = mutations.get(record.mutation, 0) + 1
    failures = [record for record in records if record.failure]
    slowest = max(records, key=lambda record: record.wall_s)
    largest = max(records, key=lambda record: record.peak_bytes)
    return {
        "target": target.name,
        "what": target.what,
        "cases": len(records),
        "failures": len(failures),
        "over_1_s": sum(record.cpu_s > REPEATED_S for record in records),
        "over_1_s_wall": sum(record.wall_s > REPEATED_S for record in records),
        "slowest": {"wall_s": slowest.wall_s, "case": slowest.number, "mutation": slowest.mutation},
        "most_memory": {"bytes": largest.peak_bytes, "case": largest.number, "mutation": largest.mutation},
        "cpu_s": round(sum(record.cpu_s for record in records), 1),
        "outcomes": dict(sorted(outcomes.items(), key=lambda item: -item[1])),
        "mutations": dict(sorted(mutations.items())),
        "first_failures": [asdict(record) for record in failures[:5]],
    }
