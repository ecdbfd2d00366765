"""Everything that is done to runs: each case has a name, a kind, and what carries it out."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from forks import KINDS, told_well
from ground import Ground, as_command, mounted, remounted, with_room
from moments import phase_of
from scene import FILTERS, PARALLEL, PARETO, SMALL, Scene, finished_trials
from single_files import cases_of_commands

from condensa_core.workload.reference_cache import read_entry, state_digest

Record = dict[str, Any]
# Of the time that an undisturbed run takes: up to when processes are killed, which have less and less to do.
LATEST: Final = 0.6
KILLS_PER_RUN: Final = 5
ERRORS: Final = ("EIO", "ENOSPC", "EACCES", "EROFS", "EDQUOT")
LIMITS: Final = (1, 500, 1500, 2500, 4000, 8000, 12000, 16000)
INTERRUPTED: Final = 130


@dataclass(frozen=True)
class Case:
    """`carry_out` gives one record, or one for each of several kills of one run."""

    name: str
    kind: str
    carry_out: Callable[[Ground], list[Record]]


def all_cases(seed: int, counts: dict[str, int]) -> Iterator[Case]:
    """The cases in the order of their kinds; `counts` are how many there are of those that can be counted."""

    def dice(name: str) -> random.Random:
        return random.Random(f"{seed} {name}")

    def killed(kind: str, recipe: str, **more: Any) -> Iterator[Case]:
        for first in range(0, counts[kind], KILLS_PER_RUN):
            name = f"{kind}-{first // KILLS_PER_RUN + 1}"
            count = min(KILLS_PER_RUN, counts[kind] - first)
            yield Case(name, kind, lambda g, n=name, c=count: killed_at_random(g, dice(n), c, recipe, **more))

    yield from killed("kill", SMALL, carry_out=as_command)
    yield from killed("kill-of-fork", SMALL)
    for i in range(counts["chain"]):
        yield Case(f"chain-{i}", "chain", lambda g, i=i: killed_until_it_ends(g, dice(f"chain-{i}")))
    yield from killed("kill-filters", FILTERS)
    yield from killed("kill-pareto", PARETO)
    for i in range(counts["kill-at-call"]):
        yield Case(f"kill-at-call-{i}", "kill-at-call", lambda g, i=i: killed_at_call(g, dice(f"call-{i}")))
    for i in range(counts["kill-at-end"]):
        yield Case(f"kill-at-end-{i}", "kill-at-end", lambda g, i=i: killed_at_the_end(g, i))
    for name in ("SIGINT", "SIGTERM"):
        for i in range(counts["signal"]):
            n = f"signal-{name}-{i}"
            yield Case(n, "signal", lambda g, n=n, s=name: told_to_stop(g, dice(n), [s]))
            n = f"signals-{name}-{i}"
            yield Case(n, "signals", lambda g, n=n, s=name: told_to_stop(g, dice(n), [s, "SIGINT"]))
    for i in range(counts["disk-full"]):
        share = (i + 0.5) / counts["disk-full"] * 0.9
        yield Case(f"disk-full-{i}", "disk-full", lambda g, s=share: full_disk(g, s, SMALL))
    for size in LIMITS[: counts["file-limit"]]:
        yield Case(f"file-limit-{size}", "file-limit", lambda g, s=size: file_limit(g, s))
    if counts["read-only"]:
        yield Case("read-only", "read-only", read_only)
    for stays in (False, True):
        kind = "error-stays" if stays else "error-once"
        for operation in KINDS:
            for i in range(counts["error"]):
                n = f"{kind}-{operation}-{i}"
                share = (i + dice(n).random()) / max(1, counts["error"])
                yield Case(
                    n, kind,
                    lambda g, n=n, o=operation, s=share, stays=stays: failing_call(g, dice(n), o, s, stays),
                )  # fmt: skip
    yield from _cases_of_the_cache(counts["cache"], dice)
    for whose in ("command", "worker", "all"):
        for i in range(counts["parallel"]):
            n = f"parallel-{whose}-{i}"
            yield Case(n, f"parallel-{whose}", lambda g, n=n, w=whose: killed_in_parallel(g, dice(n), w))
    for i in range(counts["parallel-disk"]):
        share = (i + 0.5) / counts["parallel-disk"] * 0.9
        yield Case(f"parallel-disk-{i}", "parallel-disk", lambda g, s=share: full_disk(g, s, PARALLEL))
    if counts["commands"]:
        for n, carry_out in cases_of_commands():
            yield Case(n, n, carry_out)


def _cases_of_the_cache(count: int, dice: Callable[[str], random.Random]) -> Iterator[Case]:
    for stays in (False, True):
        for operation in ("write", "fsync", "rename", "open")[:count]:
            n = f"cache-fails-{operation}-{'stays' if stays else 'once'}"
            yield Case(n, "cache-fails", lambda g, n=n, o=operation, s=stays: failing_cache(g, dice(n), o, s))
    for how in ("full", "read-only", "a file")[:count]:
        yield Case(f"cache-{how}", "cache-fails", lambda g, h=how: refusing_cache(g, h))
    for i, how in enumerate(("cut", "flipped", "flipped", "empty", "another's")[:count]):
        n = f"cache-torn-{i}"
        yield Case(n, "cache-torn", lambda g, n=n, h=how: torn_cache(g, dice(n), h))


def killed_at_random(
    ground: Ground,
    dice: random.Random,
    count: int,
    recipe: str,
    carry_out: Callable[..., Record] | None = None,
) -> list[Record]:
    """`count` kills of runs and resumes, in a row until a run ends, which then is followed by another."""
    usual = ground.undisturbed(recipe)
    lasts = _lasts_as_command(ground) if carry_out else usual.seconds
    records: list[Record] = []
    while len(records) < count:
        scene = ground.scene(recipe)
        kept: list[Any] = []
        kills: list[Record] = []
        lost = 0
        while True:
            moment = dice.uniform(0, LATEST * lasts) if len(records) + len(kills) < count else None
            before = scene.resumable()
            arguments = ["resume", str(before)] if before else scene.run
            if carry_out:
                process = carry_out(scene, arguments, kill_after=moment)
            else:
                signals = [] if moment is None else [(moment, "SIGKILL", "command")]
                process = ground.forks.carry_out(scene, arguments, signals=signals)
            after = scene.resumable()
            if process["code"] != -signal.SIGKILL:
                break
            now = finished_trials(after) if after else []
            lost += sum(trial not in now for trial in kept)
            kept = now
            where = f"{len(kept)} trials finished" if after else "before there was anything to resume"
            what = f"after {moment:.1f} s of {lasts:.1f} s: {where}"
            phase = phase_of(after if after == before or before is None else None)
            kills.append(
                {"what": what, "code": process["code"], "phase": phase, "killed": "resume" if before else "run"}
            )
        ended: Record = {"by": "resume", "resumed": process["code"], "message": process["said"][-2000:]}
        if process["code"] == 0:
            assert after is not None
            found = ground.verdict(scene, after, kept)
            ended |= {**found, "lost": found["lost"] + lost}
        records += [{**kill, **ended} for kill in kills]
    return records


def _lasts_as_command(ground: Ground) -> float:
    """Seconds of an undisturbed run by the command, start-up included; measured once a job."""
    if not hasattr(ground, "as_command_s"):
        scene = ground.scene()
        timed = as_command(scene, scene.run)
        end = ground.verdict(scene, scene.directories()[0], [])
        assert timed["code"] == 0 and end["same"], "the command ends elsewhere than its fork"
        ground.as_command_s = timed["seconds"]  # type: ignore[attr-defined]
    return ground.as_command_s  # type: ignore[attr-defined,no-any-return]


def killed_until_it_ends(ground: Ground, dice: random.Random) -> list[Record]:
    """Every process of a run is killed after a random time, until one has ended by itself before."""
    usual = ground.undisturbed()
    scene = ground.scene()
    kept: list[Any] = []
    kills, lost = 0, 0
    while True:
        directory = scene.resumable()
        moment = dice.uniform(0.5, 1.5) * usual.seconds  # much of so short a run is start-up, which saves nothing
        arguments = ["resume", str(directory)] if directory else scene.run
        process = ground.forks.carry_out(scene, arguments, signals=[(moment, "SIGKILL", "all")])
        directory = scene.resumable()
        if process["code"] != -signal.SIGKILL or kills == 60:
            break
        kills += 1
        now = finished_trials(directory) if directory else []
        lost += sum(trial not in now for trial in kept)
        kept = now
    assert directory is not None
    end: Record = {"code": -signal.SIGKILL, "what": f"{kills} processes killed in a row", "kills": kills}
    end |= {"by": "resume", "resumed": process["code"], "message": process["said"][-2000:]}
    if process["code"] == 0:
        found = ground.verdict(scene, directory, kept)
        end |= {**found, "lost": found["lost"] + lost}
    return [end]


def killed_at_call(ground: Ground, dice: random.Random) -> list[Record]:
    total = sum(ground.undisturbed().counts.values())
    at = dice.randint(1, total)
    return [_killed_at(ground, at, "", f"operation {at} of {total}")]


def killed_at_the_end(ground: Ground, number: int) -> list[Record]:
    """At the file operations on best/, then on result.json, junit.xml and report.html, in turn."""
    part = ("/best/", "result.json", "junit.xml", "report.html")[number % 4]
    return [_killed_at(ground, 1 + number // 4, part, f"operation {1 + number // 4} on {part}")]


def _killed_at(ground: Ground, at: int, part: str, what: str) -> Record:
    scene = ground.scene()
    first = ground.forks.carry_out(scene, scene.run, fault={"at": at, "error": 0}, part=part)
    if first["code"] == 0:
        what += ": there were fewer"
    phase = phase_of(scene.resumable())
    return {"what": what, "code": first["code"], "phase": phase, **ground.resumed(scene, first)}


def told_to_stop(ground: Ground, dice: random.Random, names: list[str]) -> list[Record]:
    """A signal at a random moment; with two names the second follows within half a second."""
    moment = dice.uniform(0, 0.9) * ground.undisturbed().seconds
    scene = ground.scene()
    signals = [(moment, names[0], "command"), *((dice.uniform(0, 0.5), name, "command") for name in names[1:])]
    first = ground.forks.carry_out(scene, scene.run, signals=signals)
    told = "Traceback" not in first["said"] and ("condensa resume" in first["said"] or scene.resumable() is None)
    record = {"what": f"{' and '.join(names)} after {moment:.1f} s", "code": first["code"], "told": told}
    record |= {"phase": phase_of(scene.resumable()), "stopped_s": first["stopped_s"]}
    record |= {"signals": first["delivered"], "message": first["said"][-2000:]}
    return [{**record, **ground.resumed(scene, first)}]


def full_disk(ground: Ground, share: float, recipe: str) -> list[Record]:
    """A disk with room for a share of what the run leaves behind, beside what was there before."""
    needed = ground.undisturbed(recipe).needed
    free = int(share * needed) // 4096 * 4096
    disk = ground.work / "tmpfs"
    with mounted(disk):
        scene = ground.scene(recipe, disk)
        with_room(disk, free)
        first = ground.forks.carry_out(scene, scene.run)
        remounted(disk, "size=64m")
        record = {"what": f"{free} of {needed} bytes free at the start", **stopped(scene, first)}
        return [{**record, **ground.resumed(scene, first)}]


def file_limit(ground: Ground, size: int) -> list[Record]:
    scene = ground.scene()
    first = ground.forks.carry_out(scene, scene.run, largest_file=size)
    return [{"what": f"files up to {size} bytes", **stopped(scene, first), **ground.resumed(scene, first)}]


def read_only(ground: Ground) -> list[Record]:
    """The whole disk, from the start."""
    disk = ground.work / "tmpfs"
    with mounted(disk):
        scene = ground.scene(disk=disk)
        remounted(disk, "ro")
        first = ground.forks.carry_out(scene, scene.run)
        remounted(disk, "rw")
        return [{"what": "mounted read-only", **stopped(scene, first), **ground.resumed(scene, first)}]


def failing_call(ground: Ground, dice: random.Random, operation: str, share: float, stays: bool) -> list[Record]:
    total = ground.undisturbed().counts[operation]
    at = min(total, 1 + int(share * total))
    error = dice.choice(ERRORS)
    scene = ground.scene()
    fault = {"kind": operation, "at": at, "error": getattr(errno, error), "stays": stays}
    first = ground.forks.carry_out(scene, scene.run, fault=fault)
    what = f"{operation} {at} of {total}: {error} at {_shown(first.get('failed', ''), scene)}"
    return [{"what": what, **stopped(scene, first), **ground.resumed(scene, first)}]


def stopped(scene: Scene, first: Record) -> Record:
    """The exit code, and of a run that stopped what it said and whether that was good."""
    if first["code"] == 0:  # the run went on: without a line of its log, or a picture
        return {"code": 0}
    said = first["said"]
    return {"code": first["code"], "told": told_well(scene, said), "message": said[said.rfind("error: ") :]}


def _shown(path: str, scene: Scene) -> str:
    return re.sub(r"\d{8}T\d{6}Z-\w+|\d+(?=-)", "*", path.removeprefix(f"{scene.disk}/"))


def failing_cache(ground: Ground, dice: random.Random, operation: str, stays: bool) -> list[Record]:
    error = dice.choice(ERRORS)
    scene = ground.scene()
    fault = {"kind": operation, "at": 1, "error": getattr(errno, error), "stays": stays}
    first = ground.forks.carry_out(scene, scene.run, fault=fault, part="/cache/")
    what = f"{operation}: {error} at {_shown(first.get('failed', ''), scene)}"
    return [{"what": what, **_warned(first), **ground.resumed(scene, first)}]


def refusing_cache(ground: Ground, how: str) -> list[Record]:
    scene = ground.scene()
    cache = scene.disk / "cache"
    if how == "a file":
        moved = scene.folder / "cache"
        cache.rename(moved)
        cache.write_text("")
        first = ground.forks.carry_out(scene, scene.run)
        cache.unlink()
        moved.rename(cache)
    else:
        entries = {file.name: file.read_bytes() for file in cache.iterdir()}
        with mounted(cache):
            for name, content in entries.items():
                (cache / name).write_bytes(content)
            if how == "full":
                with_room(cache, 0)
            else:
                remounted(cache, "ro")
            first = ground.forks.carry_out(scene, scene.run)
    return [{"what": f"the cache folder is {how}", **_warned(first), **ground.resumed(scene, first)}]


def torn_cache(ground: Ground, dice: random.Random, how: str) -> list[Record]:
    """The reference in the cache is the run's own, and damaged."""
    scene = ground.scene()
    others = set((scene.disk / "cache").iterdir())
    shutil.copytree(ground.forks.undisturbed.disk / "cache", scene.disk / "cache", dirs_exist_ok=True)
    (entry,) = set((scene.disk / "cache").iterdir()) - others
    content = bytearray(entry.read_bytes())
    at = dice.randrange(len(content))
    if how == "cut":
        del content[at:]
    elif how == "flipped":
        content[at] ^= 1 << dice.randrange(8)
    elif how == "empty":
        content.clear()
    else:
        content = bytearray(next(iter(others)).read_bytes())
    entry.write_bytes(content)
    first = ground.forks.carry_out(scene, scene.run)
    whole = ground.forks.undisturbed.disk / "cache" / entry.name
    mended = state_digest(read_entry(entry).state) == state_digest(read_entry(whole).state)
    record = {"what": f"{how}, byte {at}" if how in ("cut", "flipped") else how, **_warned(first)}
    ended = ground.resumed(scene, first)
    return [{**record, **ended, "same": ended.get("same", False) and mended}]


def _warned(first: Record) -> Record:
    """A run that goes on is to say why it trained its reference for itself."""
    said = first["said"]
    told = bool(re.search("warning: .*(reference|cache)", said.replace("\n", " "))) and "Traceback" not in said
    return {"code": first["code"], "told": told, "message": said[-2000:]}


def killed_in_parallel(ground: Ground, dice: random.Random, whose: str) -> list[Record]:
    """SIGKILL of the command of a run with two workers, of one of them, or of all; nothing it started may stay."""
    usual = ground.undisturbed(PARALLEL)
    moment = dice.uniform(0.05, 0.95) * usual.seconds
    scene = ground.scene(PARALLEL)
    first = ground.forks.carry_out(scene, scene.run, signals=[(moment, "SIGKILL", whose)])
    record = {"what": f"after {moment:.1f} s of {usual.seconds:.1f} s", "code": first["code"]}
    record |= {
        "phase": phase_of(scene.resumable()),
        "left_behind": first["left_behind"],
        "message": first["said"][-2000:],
    }
    ended = ground.resumed(scene, first)
    if whose == "worker":  # the attempt at its trial has failed, and the next has another seed
        ended["same"] = ended.get("unmoved", False)
    return [{**record, **ended}]


def is_root() -> bool:
    return os.geteuid() == 0
