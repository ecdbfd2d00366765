"""The noise gauge of several threads: what the scheduler says of their waiting for a core."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Thread

import pytest

from condensa_core.bench import compare
from condensa_core.bench.waiting import Turns, contention_between, turns

pytestmark = pytest.mark.skipif(turns() is None, reason="this system does not tell how long threads wait")


@contextmanager
def neighbour(core: int) -> Iterator[None]:
    """A process that never leaves that core."""
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile os.getppid() == {os.getpid()}: pass"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def test_threads_that_share_a_core_wait_half_of_the_time():
    core = min(os.sched_getaffinity(0))

    def work() -> None:  # hashing leaves the other thread running
        os.sched_setaffinity(0, {core})  # of this thread
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            hashlib.sha256(bytes(1 << 20))

    threads = [Thread(target=work) for _ in range(2)]
    before = turns()
    for thread in threads:
        thread.start()
    seen = before
    while any(thread.is_alive() for thread in threads):
        now = turns()
        if len(now) >= len(before) + 2:  # the last look at both: what has ended tells nothing
            seen = now
        time.sleep(0.002)

    assert contention_between(before, seen) > 1.5  # 2, and more where others want the core as well


def test_waking_up_is_not_waiting():
    before = {"1": Turns(0, 0, 0), "2": Turns(1_000_000, 0, 5)}

    quiet = {"1": Turns(10_000_000, 90_000, 3), "2": Turns(11_000_000, 4_000_000, 105)}
    busy = {"1": Turns(10_000_000, 10_050_000, 1), "2": Turns(11_000_000, 0, 5), "3": Turns(0, 50_000, 1)}

    assert contention_between(before, quiet) == 1.0
    assert contention_between(before, busy) == pytest.approx(1.5)
    assert contention_between(before, before) == 1.0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two threads need two cores")
def test_neighbours_are_told_by_the_waiting_of_threads(chain, monkeypatch):
    # given a probe of one thread that sees nothing, and no core that the scheduler could move the threads to
    monkeypatch.setattr(import_module("condensa_core.bench.compare"), "contention", lambda clock: 1.0)
    allowed = os.sched_getaffinity(0)
    first, second = sorted(allowed)[:2]
    os.sched_setaffinity(0, {first, second})  # the threads of a session have what the one that makes them has
    try:
        with neighbour(first), neighbour(second):
            comparison = compare({"a": chain(8)}, threads=2, rounds=20)
    finally:
        os.sched_setaffinity(0, allowed)

    assert comparison.measurement("a").noisy


def test_sessions_of_several_threads_rest_between_their_turns(chain):
    """Else the idle ones would charge their time to the one that is measured, which shares their cores."""
    idle = []

    def rest(name, runner):
        for _ in range(20):
            runner.run()
        began = time.process_time()
        time.sleep(0.1)
        idle.append(time.process_time() - began)

    compare({"a": chain(8)}, threads=2, rounds=3, check=rest)

    assert idle[0] < 0.01
