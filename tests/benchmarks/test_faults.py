"""A share of benchmarks/faults: kills and refusals of the disk, in a row, change no result and lose nothing."""

import errno
import os
import shutil
import signal
from collections import Counter

import pytest
from forks import Forks, told_well
from scene import Scene, contents, end_of, finished_trials

from condensa_core.run_directory import RunDirectory

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="faults need a C compiler")

KILLED = -signal.SIGKILL
KILL = {"error": 0}
# What happens to one process after the other: the fault, and the exit code it must lead to.
FAULTS = (
    ({"kind": "rename", "at": 1, "error": errno.EACCES}, 3),  # recipe.yaml: nothing has begun
    ({"at": 110, **KILL}, KILLED),
    ({"kind": "open", "at": 12, "error": errno.ENOSPC, "stays": True}, 4),
    ({"at": 80, **KILL}, KILLED),
    ({"kind": "write", "at": 25, "error": errno.EROFS, "stays": True}, 4),
    ({"kind": "fsync", "at": 20, "error": errno.EIO}, 4),
)


@pytest.fixture
def forks(tmp_path):
    """Forked commands."""
    running = Forks(tmp_path)
    yield running
    running.close()


def test_whatever_happens_in_a_row_no_finished_trial_is_lost_and_the_result_is_the_same(forks, tmp_path):
    (whole,) = forks.undisturbed.directories()
    shutil.copytree(whole, tmp_path / "older" / "runs" / "older" / whole.name)
    scene = Scene.laid(tmp_path / "scene", tmp_path / "older")
    kept = []

    for fault, code in FAULTS:
        directory = scene.resumable()
        arguments = ["resume", str(directory)] if directory else scene.run
        process = forks.carry_out(scene, arguments, fault=fault)
        assert process["code"] == code, (fault, process["said"])
        if code == KILLED:
            now = finished_trials(scene.resumable())
            assert now[: len(kept)] == kept
            kept = now
        else:
            assert told_well(scene, process["said"]), process["said"]
    last = scene.resumable()
    with RunDirectory.resume(last):
        second = forks.carry_out(scene, ["resume", str(last)])
        assert second["code"] == 2 and f"in use by process {os.getpid()}" in second["said"]
    ended = forks.carry_out(scene, ["resume", str(last)])

    assert ended["code"] == 0, ended["said"]
    assert end_of(last) == end_of(whole) and end_of(last)["left over"] == []
    assert max(Counter(trial["number"] for trial in finished_trials(last)).values()) == 1 and len(kept) >= 1
    assert contents(scene.disk / "runs" / "older") == contents(whole.parent)
