"""Unfinished files of processes that were killed, in folders that others use too."""

import os
import subprocess
import sys

import torch

from condensa_core.whole_file import remove_leftovers
from condensa_core.workload.reference_cache import write_entry

TWO_DAYS_S = 2 * 86400


def dead_pid():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def aged(path, seconds):
    path.write_bytes(b"x")
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_only_what_is_old_and_of_no_process_goes(tmp_path):
    dead = dead_pid()
    aged(tmp_path / f".partial-{dead}-a", TWO_DAYS_S)
    aged(tmp_path / ".partial-x-b", TWO_DAYS_S)
    aged(tmp_path / f".partial-{dead}-fresh", 60)
    aged(tmp_path / f".partial-{os.getpid()}-c", TWO_DAYS_S)
    aged(tmp_path / "whole", TWO_DAYS_S)

    remove_leftovers(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {
        f".partial-{dead}-fresh",
        f".partial-{os.getpid()}-c",
        "whole",
    }


def test_a_cache_is_tidied_where_something_is_kept(tmp_path):
    aged(tmp_path / f".partial-{dead_pid()}-a", TWO_DAYS_S)

    write_entry(tmp_path / "key.safetensors", {"w": torch.ones(2)}, (), ())

    assert [path.name for path in tmp_path.iterdir()] == ["key.safetensors"]
