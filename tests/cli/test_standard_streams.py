"""Standard streams that are closed, or cannot write all that there is to say."""

import os
import subprocess
import sys

WRITES_A_FILE = """
import os, sys
from condensa_cli import app, start
def work(arguments, **kwargs):
    with open("journal", "w") as file:
        for handle in (1, 2):
            os.write(handle, b"a library of somebody else")
        file.write("ours")
app.app = work
sys.argv = ["condensa", "check"]
start.main()
"""
CHECK = "from condensa_cli.start import main; main()"


def test_what_goes_to_a_closed_stream_gets_into_no_file(tmp_path):
    command = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-c", WRITES_A_FILE]

    subprocess.run(command, cwd=tmp_path, env=os.environ, check=False)

    assert (tmp_path / "journal").read_text() == "ours"


def test_what_an_encoding_does_not_have_is_escaped(tmp_path):
    (tmp_path / "grün.yaml").write_text("condensa: 2")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", CHECK, "check", "grün.yaml"]

    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert (process.returncode, process.stderr) == (2, "")
    assert r"gr\xfcn.yaml" in process.stdout
