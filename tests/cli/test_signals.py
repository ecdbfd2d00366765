"""Signals before there is any work to stop at a safe point, and after it."""

import os
import subprocess
import sys

import pytest

STOPPED_WHILE_LOADING = """
import os, signal, sys
from condensa_cli import app, start
def slow(arguments, **kwargs):
    os.kill(os.getpid(), signal.{name})
    sys.exit("not stopped")
app.app = slow
sys.argv = ["condensa", "check", "r.yaml"]
start.main()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_before_the_work_begins_is_exit_code_130(name):
    code = STOPPED_WHILE_LOADING.format(name=name)

    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)

    assert process.returncode == 130, process.stderr
    assert process.stderr.strip() == "error: interrupted"


def test_a_closed_terminal_does_not_stop_what_is_to_go_on_without_it():
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + STOPPED_WHILE_LOADING.format(name="SIGHUP")

    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)

    assert "not stopped" in process.stderr


STOPPED_BY_IMPORTS = """
import os, signal, sys
from condensa_cli import start
class Planted:
    def find_spec(self, name, *others):
        if name == "condensa_cli.app":
            os.kill(os.getpid(), signal.{name})
sys.meta_path.insert(0, Planted())
sys.argv = ["condensa", "check", "r.yaml"]
start.main()
"""

STOPPED_AT_THE_END = """
import atexit, os, signal, sys
from condensa_cli import start
atexit.register(os.kill, os.getpid(), signal.{name})
sys.argv = ["condensa", "--version"]
start.main()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(("code", "said"), [(STOPPED_BY_IMPORTS, "error: interrupted\n"), (STOPPED_AT_THE_END, "")])
def test_a_signal_while_the_command_loads_or_ends_is_exit_code_130(name, code, said):
    process = subprocess.run([sys.executable, "-c", code.format(name=name)], capture_output=True, text=True)

    assert (process.returncode, process.stderr) == (130, said)
