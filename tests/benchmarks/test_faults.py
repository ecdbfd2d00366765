"""A share of benchmarks/faults: kills and refusals of the disk, in a row, change no result and lose nothing."""

import errno
import os
import shutil
import signal
from collections import Counter

import pytest
from forks import Forks, told_well
from ground import Ground
from record import broken
from scene import Scene, contents, end_of, finished_trials
from single_files import each_operation

from condensa_core.run_directory import RunDirectory

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="faults need a C compiler")

KILLED = -signal.SIGKILL
KILL = {"error": 0}
# What happens to one process after the other: the fault, and the exit code it must lead to.
FAULTS = (
    ({"kind": "rename", "at": 1, "error": errno.EACCES}, 3),  # recipe.yaml: nothing has begun
    ({"at": 120, **KILL}, KILLED),
    ({"kind": "open", "at": 12, "error": errno.ENOSPC, "stays": True}, 4),
    ({"at": 95, **KILL}, KILLED),
    ({"kind": "write", "at": 25, "error": errno.EROFS, "stays": True}, 4),
    ({"kind": "fsync", "at": 8, "error": errno.EIO}, 4),
)


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    """Forked commands."""
    running = Forks(tmp_path_factory.mktemp("forks"))
    yield running
    running.close()


@pytest.fixture
def ground(forks, tmp_path):
    """What cases of the benchmark stand on; the run that was there before is the undisturbed one."""
    standing = Ground(tmp_path)
    standing.forks, standing.older = forks, forks.undisturbed.disk
    return standing


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


@pytest.mark.parametrize(
    ("error", "kind", "codes"), [(errno.ENOSPC, "unpack-fails", {3}), (0, "unpack-killed", {KILLED})]
)
def test_the_one_file_of_a_command_is_the_old_one_or_a_whole_new_one(ground, error, kind, codes):
    records = each_operation(ground, "unpack", error)

    assert {record["code"] for record in records} == codes and len(records) >= 4
    assert [broken({"kind": kind, **record}) for record in records] == [[]] * len(records)


def test_the_second_signal_ends_a_run_at_once_and_it_can_be_continued(forks, tmp_path):
    (tmp_path / "nothing").mkdir()
    scene = Scene.laid(tmp_path / "scene", tmp_path / "nothing")

    told = forks.carry_out(scene, scene.run, signals=[(2.0, "SIGTERM", "command"), (0.05, "SIGINT", "command")])

    assert told["code"] == 130 and told["left_behind"] == 0, told
    assert "Traceback" not in told["said"] and f"condensa resume {scene.resumable()}" in told["said"]
