"""A crash before there is a run directory is no silent death: stderr says where Python stood."""

import signal
import subprocess
import sys

CRASHING = """
import faulthandler, os
from condensa_cli.working import working

def forward():
    os.kill(os.getpid(), {number})

with working(quiet=True):
    pass
assert not faulthandler.is_enabled()
with working(quiet=True):
    forward()
"""


def test_a_crash_in_the_users_native_code_names_the_line():
    code = CRASHING.format(number=int(signal.SIGSEGV))

    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert process.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in process.stderr
    assert 'File "<string>", line 6 in forward' in process.stderr
