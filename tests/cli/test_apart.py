"""bench works in a child process: what kills that has a message and a code."""

import os
import signal
import threading
import time

import pytest
from condensa_cli import app
from condensa_cli.apart import in_a_child

from condensa_core.errors import Interrupted, RunFailed


def test_the_code_of_the_work_is_the_code_of_the_child():
    assert [in_a_child(lambda code=code: code, "x") for code in (0, 1, 2, 130)] == [0, 1, 2, 130]


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGSEGV, "runtime crashed"), (signal.SIGABRT, "crashed"), (signal.SIGKILL, "memory")]
)
def test_a_child_that_dies_is_told_by_its_signal(number, said):
    with pytest.raises(RunFailed, match=f"condensa bench x ended by {number.name}") as caught:
        in_a_child(lambda: os.kill(os.getpid(), number) or 0, "condensa bench x")

    assert said in caught.value.hint


def test_an_interruption_reaches_the_child():
    def waits() -> int:
        signal.signal(signal.SIGINT, lambda *_: os._exit(7))
        time.sleep(20)
        return 0

    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    assert in_a_child(waits, "x") == 7


def test_the_third_interruption_ends_a_child_that_heeds_none():
    def deaf() -> int:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(20)
        return 0

    for delay in (0.3, 0.4, 0.5):
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(Interrupted):
        in_a_child(deaf, "x")


def test_the_command_tells_of_a_runtime_that_crashes(monkeypatch, capfd):
    def crashing(arguments: list[str]) -> int:
        os.kill(os.getpid(), signal.SIGSEGV)
        return 0

    monkeypatch.setattr(app, "exit_code_of", crashing)

    code = app.program(["bench", "evil.onnx", "--json"])

    shown = capfd.readouterr()
    assert code == 4
    assert '"exit_code": 4' in shown.out and "evil.onnx --json ended by SIGSEGV" in shown.err
