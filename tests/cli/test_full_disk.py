"""Results that nobody can be told: a full disk below stdout or stderr, a reader that left, a stream that is closed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from condensa_cli.console import after_work, show_json

from condensa_core.errors import RunFailed

FULL = Path("/dev/full")
COMMANDS = [["check", "good.yaml"], ["check", "good.yaml", "--json"], ["schemes", "--json"], ["check"], ["--help"]]

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def ended(arguments, folder, redirection="") -> subprocess.CompletedProcess[str]:
    """One command line of the installed command, with what a shell would put behind it."""
    command = [sys.executable, "-c", "from condensa_cli.start import main; main()", *arguments]
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command], cwd=folder, env=os.environ, capture_output=True, text=True
    )


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk_below_stdout_is_the_machines_affair(good, arguments):
    process = ended(arguments, good.parent, ">/dev/full")

    assert process.returncode == (2 if arguments == ["check"] else 3), process.stderr
    assert "Traceback" not in process.stderr
    if arguments != ["check"]:
        assert "cannot write to stdout: No space left on device" in process.stderr
        assert "free disk space" in process.stderr


def test_a_refusal_as_json_keeps_its_code_where_stdout_is_full(good):
    process = ended(["check", "absent.yaml", "--json", "--format", "no"], good.parent, ">/dev/full")

    assert process.returncode == 2
    assert process.stderr.startswith("error: ")
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", ">&- 2>&-"])
def test_what_stderr_refuses_changes_nothing(good, redirection):
    process = ended(["check", "absent.yaml", "good.yaml"], good.parent, redirection)

    assert process.returncode == 2
    assert process.stdout == ("" if ">&- 2" in redirection else "1 recipe checked: all good\n")


@pytest.mark.parametrize("arguments", [["check", "good.yaml"], ["check", "absent.yaml", "--json"], ["--help"]])
def test_a_reader_that_left_is_no_bug(good, arguments):
    read, write = os.pipe()
    os.close(read)

    process = subprocess.run(
        [sys.executable, "-c", "from condensa_cli.start import main; main()", *arguments],
        cwd=good.parent, stdout=write, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    assert (process.returncode, process.stderr) == (141, "")


def test_after_the_work_a_full_disk_is_a_failure_that_says_what_is_kept(monkeypatch):
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)

        with pytest.raises(RunFailed, match="to stdout: No space left") as refused, after_work("all is kept"):
            show_json({})

    assert refused.value.exit_code == 4
    assert refused.value.hint.endswith("; all is kept")
