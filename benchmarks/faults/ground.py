"""What the cases of one job stand on: forked commands, what was there before, and how an undisturbed run ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from forks import Forks
from scene import PARALLEL, SMALL, Scene, contents, end_of, finished_trials, told_finished

PAGE, ROOMY = 4096, 1 << 26
# What a result says that follows from the order in which trials ended, which two at once leave open.
OF_ORDER = ("probability", "reached_after")


@dataclass(frozen=True)
class Undisturbed:
    """How a run ends that nobody disturbs: its outcome, its seconds, its bytes in pages, its file operations."""

    end: dict[str, Any]
    seconds: float
    needed: int
    counts: dict[str, int]


@dataclass
class Ground:
    """A folder with everything that the cases of one job need; another job has another."""

    work: Path
    known: dict[str, Undisturbed] = field(default_factory=dict)
    asking: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def forks(self) -> Forks:
        self.work.mkdir(parents=True, exist_ok=True)
        return Forks(self.work)

    @cached_property
    def older(self) -> Path:
        """A disk with an older run of another name and its cached reference."""
        older = self.work / "older"
        older.mkdir(parents=True, exist_ok=True)
        recipe = SMALL.replace("name: digits", "name: older").replace("seed: 3", "seed: 4")
        scene = Scene(self.work / "first", older, recipe)
        scene.folder.mkdir(exist_ok=True)
        (scene.folder / "recipe.yaml").write_text(recipe)
        assert self.forks.carry_out(scene, scene.run)["code"] == 0
        return older

    @cached_property
    def before(self) -> dict[str, str]:
        return contents(self.older)

    def scene(self, recipe: str = SMALL, disk: Path | None = None) -> Scene:
        """A fresh scene for a case; the one before is removed."""
        return Scene.laid(self.work / "case", self.older, disk, recipe)

    def undisturbed(self, recipe: str = SMALL) -> Undisturbed:
        """Found once for all jobs; two runs of the small recipe must be alike before anything is compared with one."""
        with self.asking:
            if recipe not in self.known:
                scene = Scene.laid(self.work / "usual", self.older, recipe=recipe)
                told = self.forks.carry_out(scene, scene.run)
                assert told["code"] == 0, told["said"]
                (directory,) = scene.directories()
                needed = sum(PAGE * -(-file.stat().st_size // PAGE) for file in directory.rglob("*") if file.is_file())
                found = Undisturbed(end_of(directory), told["seconds"], needed, told["counts"])
                if recipe == SMALL:
                    assert end_of(self.forks.undisturbed.directories()[0]) == found.end, "no two runs are alike"
                    assert len(found.end["trials"]) == 4 and len(found.end["files"]) >= 10, found.end
                self.known[recipe] = found
            return self.known[recipe]

    def resumed(self, scene: Scene, first: dict[str, Any], kept: list[Any] | None = None) -> dict[str, Any]:
        """Resume what `first` left behind until it ends; a run that left nothing to resume is started again.

        `kept` are trials that were finished earlier.
        """
        before = scene.resumable()
        if first["code"] == 0:
            assert before is not None
            return {"by": "itself", **self.verdict(scene, before, kept or [])}
        kept = [*(kept or []), *(finished_trials(before) if before else [])]
        again = self.forks.carry_out(scene, ["resume", str(before)] if before else scene.run)
        after = scene.resumable()
        if again["code"] != 0 or after is None:
            return {"by": "resume" if before else "run", "resumed": again["code"], "message": again["said"][-2000:]}
        return {"by": "resume" if before else "run", "resumed": 0, **self.verdict(scene, after, kept)}

    def verdict(self, scene: Scene, directory: Path, kept: list[Any]) -> dict[str, Any]:
        """What is true of a run that came to its end; `kept` are trials that were finished earlier."""
        found = judged(directory, kept, self.undisturbed(scene.recipe).end)
        if scene.recipe == PARALLEL:
            found["same"] = all(place.rpartition(".")[2] in OF_ORDER for place in found["differs_in"])
        return {**found, "older_intact": self.older_intact(scene)}

    def older_intact(self, scene: Scene) -> bool:
        now = contents(scene.disk)
        return all(now.get(name) == digest for name, digest in self.before.items())

    def close(self) -> None:
        if "forks" in self.__dict__:
            self.forks.close()


def judged(directory: Path, kept: list[Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Trials that are lost or were repeated, by the journal and by the log, and whether the end is the expected one.

    `unmoved` are the trials that no attempt failed of: they are to the bit what was expected, and none is missing.
    """
    trials = finished_trials(directory)
    told, again = told_finished(directory)
    numbers = Counter(trial["number"] for trial in trials)
    end = end_of(directory)
    wanted = {trial["number"]: trial for trial in expected["trials"]}
    return {
        "lost": sum(trial not in trials for trial in kept) + len(told - set(numbers)),
        "repeated": sum(count - 1 for count in numbers.values()) + again,
        "same": end == expected,
        "unmoved": set(numbers) == set(wanted) and all(t["attempt"] or t == wanted[t["number"]] for t in trials),
        "differs_in": list(differing(end, expected)),
    }


def differing(found: Any, expected: Any, where: str = "") -> Iterator[str]:
    """The dotted places where two JSON values differ."""
    if isinstance(found, dict) and isinstance(expected, dict) and set(found) == set(expected):
        for key in found:
            yield from differing(found[key], expected[key], f"{where}.{key}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differing(one, other, f"{where}.{i}")
    elif found != expected:
        yield where


def as_command(scene: Scene, arguments: list[str], kill_after: float | None = None) -> dict[str, Any]:
    """What `Forks.carry_out` does, by the command in an interpreter of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "condensa_cli", *arguments]
    begun = time.monotonic()
    with (scene.folder / "said").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, env=os.environ | scene.environment, stdout=said, stderr=said)
        with suppress(subprocess.TimeoutExpired):
            process.wait(kill_after)
        if process.returncode is None:
            process.kill()
            process.wait()
        said.seek(0)
        return {"code": process.returncode, "seconds": time.monotonic() - begun, "said": said.read()}


@contextmanager
def mounted(disk: Path) -> Iterator[None]:
    """A disk in memory at `disk`; needs root."""
    disk.mkdir(exist_ok=True, parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def remounted(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def with_room(disk: Path, free: int) -> None:
    """No more than `free` bytes can be added to what lies on the disk."""
    room = os.statvfs(disk)
    remounted(disk, f"size={(room.f_blocks - room.f_bfree) * room.f_frsize + free}")
