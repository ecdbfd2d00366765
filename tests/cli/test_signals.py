"""Signals before there is any work to stop at a safe point."""

import os
import subprocess
import sys

import pytest

STOPPED_WHILE_LOADING = """
import os, signal, sys
from condensa_cli import app
def slow(arguments, **kwargs):
    os.kill(os.getpid(), signal.{name})
    sys.exit("not stopped")
app.app = slow
sys.argv = ["condensa", "check", "r.yaml"]
app.main()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_before_the_work_begins_is_exit_code_130(name):
    code = STOPPED_WHILE_LOADING.format(name=name)

    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)

    assert process.returncode == 130, process.stderr
    assert process.stderr.strip() == "error: interrupted"
