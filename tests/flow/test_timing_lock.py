"""Whoever times does it alone."""

import subprocess
import sys
import threading

from condensa_core.flow.timing_lock import alone_timing

HOLDING = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_block_waits_for_the_first(tmp_path):
    inside, entered = threading.Event(), threading.Event()

    def second():
        inside.wait()
        with alone_timing(tmp_path):
            entered.set()

    other = threading.Thread(target=second)
    other.start()
    with alone_timing(tmp_path):
        inside.set()
        assert not entered.wait(0.3)
    assert entered.wait(10)
    other.join()


def test_a_process_that_is_killed_leaves_its_block(tmp_path):
    with alone_timing(tmp_path):
        pass  # makes the file
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, tmp_path / ".timing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    entered = threading.Event()

    def wait():
        with alone_timing(tmp_path):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not entered.wait(0.3)
    holder.kill()
    holder.communicate()
    assert entered.wait(10)
    waiting.join()
