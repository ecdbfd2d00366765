"""Runs that are killed, whose disk is full, whose file operations fail: what is left, and what resume makes of it.

    python benchmarks/faults/run.py --journal faults.jsonl --out benchmarks/results/faults

Needs Linux and a C compiler, and root for the disks that fill (tmpfs of a few hundred kilobytes). Every case starts
beside an older run and its cached reference, ends a run of a small recipe in some unfriendly way, removes what was in
the way, resumes, and compares with a run that nobody disturbed: finished trials, result, and every exported file by its
hash. A journal lets a benchmark that was cut off go on.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from forks import KINDS, Forks, told_well
from scene import Scene, contents, end_of, finished_trials

from condensa_core.bench import describe_machine
from condensa_core.run_directory import versions

# Of the time that an undisturbed run takes: up to when processes are killed, which have less and less to do.
LATEST = 0.6
KILLS_PER_RUN = 6
PAGE, ROOMY = 4096, 1 << 26
ERRORS = ("EIO", "ENOSPC", "EACCES", "EROFS", "EDQUOT")
HEADINGS = {
    "kill": "SIGKILL of the command at a random moment, start-up included",
    "kill-of-fork": "SIGKILL of its fork at a random moment",
    "kill-at-call": "SIGKILL at a file operation",
    "disk-full": "disk full (tmpfs)",
    "file-limit": "no file may grow further (RLIMIT_FSIZE)",
    "error-once": "one file operation fails",
    "error-stays": "file operations fail from then on",
}


class Bench:
    """The undisturbed run, what was there before, and the record of cases."""

    def __init__(self, work: Path, forks: Forks, journal: Path) -> None:
        self.work, self.forks, self.journal = work, forks, journal
        self.older = work / "older"
        self.done: dict[str, dict[str, Any]] = {}
        if journal.is_file():
            self.done = {case["id"]: case for case in map(json.loads, journal.read_text().splitlines())}
        self._lay_older()
        beside = Scene.laid(work / "beside", self.older)
        self.counted = forks.carry_out(beside, beside.run)
        (directory,) = forks.undisturbed.directories()
        self.expected = end_of(directory)
        assert len(self.expected["trials"]) == 4 and len(self.expected["files"]) >= 10, self.expected
        assert self.counted["code"] == 0 and end_of(beside.directories()[0]) == self.expected, "no two runs are alike"
        self.written = [file for file in directory.rglob("*") if file.is_file()]

    def _lay_older(self) -> None:
        """An older run of another name and the reference it was trained from, which the runs to come also want."""
        self.older.mkdir(exist_ok=True)
        scene = Scene(self.work / "first", self.older)
        scene.folder.mkdir(exist_ok=True)
        recipe = Scene.laid(self.work / "as-written", self.older).folder / "recipe.yaml"
        text = recipe.read_text().replace("name: digits", "name: older").replace("seed: 3", "seed: 4")
        (scene.folder / "recipe.yaml").write_text(text)
        assert self.forks.carry_out(scene, scene.run)["code"] == 0
        self.before = contents(self.older)

    def wanted(self, cases: Iterable[str]) -> Iterator[str]:
        return (case for case in cases if case not in self.done)

    def record(self, case: dict[str, Any]) -> None:
        self.done[case["id"]] = case
        with self.journal.open("a") as file:
            file.write(json.dumps(case) + "\n")
        print(json.dumps({k: v for k, v in case.items() if k != "message"}), flush=True)

    def verdict(self, scene: Scene, directory: Path) -> dict[str, Any]:
        """What is true of a run that came to its end."""
        numbers = Counter(trial["number"] for trial in finished_trials(directory))
        end = end_of(directory)
        return {
            "repeated": sum(count - 1 for count in numbers.values()),
            "same": end == self.expected,
            "differs_in": [key for key in end if end[key] != self.expected[key]],
            "older_intact": self.older_intact(scene),
        }

    def older_intact(self, scene: Scene) -> bool:
        now = contents(scene.disk)
        return all(now.get(name) == digest for name, digest in self.before.items())

    def ended(self, scene: Scene, first: dict[str, Any]) -> dict[str, Any]:
        """Resume what `first` left behind until it ends; a run that left nothing to resume is started again."""
        before = scene.resumable()
        if first["code"] == 0:
            assert before is not None
            return {"by": "itself", "lost": 0, **self.verdict(scene, before)}
        kept = finished_trials(before) if before else []
        arguments = ["resume", str(before)] if before else scene.run
        again = self.forks.carry_out(scene, arguments)
        after = scene.resumable()
        if again["code"] != 0 or after is None:
            return {"by": "resume" if before else "run", "resumed": again["code"], "message": again["said"][-2000:]}
        lost = kept != finished_trials(after)[: len(kept)]
        return {"by": "resume" if before else "run", "resumed": 0, "lost": int(lost), **self.verdict(scene, after)}


def killed_at_calls(bench: Bench, count: int, seed: int) -> None:
    total = sum(bench.counted["counts"].values())
    moments = random.Random(seed).sample(range(1, total + 1), count)
    for at in moments:
        name = f"kill-at-call-{at}"
        for _ in bench.wanted([name]):
            scene = Scene.laid(bench.work / "case", bench.older)
            first = bench.forks.carry_out(scene, scene.run, fault={"at": at, "error": 0})
            case = {"id": name, "kind": "kill-at-call", "what": f"operation {at} of {total}", "code": first["code"]}
            bench.record({**case, **bench.ended(scene, first)})


def failing_calls(bench: Bench, each: int, seed: int) -> None:
    """`each` moments for every kind of operation, spread over the run, and as many that stay."""
    dice = random.Random(seed)
    for kind in KINDS:
        total = bench.counted["counts"][kind]
        for stays in (False, True):
            share = total / each
            for i in range(each):
                at = min(total, 1 + int((i + dice.random()) * share))
                error = dice.choice(ERRORS)
                name = f"error-{'stays' if stays else 'once'}-{kind}-{at}-{error}"
                for _ in bench.wanted([name]):
                    scene = Scene.laid(bench.work / "case", bench.older)
                    fault = {"kind": kind, "at": at, "error": getattr(errno, error), "stays": stays}
                    first = bench.forks.carry_out(scene, scene.run, fault=fault)
                    case = {
                        "id": name,
                        "kind": "error-stays" if stays else "error-once",
                        "what": f"{kind} {at} of {total}: {error} at {_shown(first.get('failed', ''), scene)}",
                    }
                    bench.record({**case, **_stopped(scene, first), **bench.ended(scene, first)})


def _stopped(scene: Scene, first: dict[str, Any]) -> dict[str, Any]:
    """The exit code, and of a run that stopped what it said and whether that was good."""
    if first["code"] == 0:  # the run went on: without a line of its log, or a picture
        return {"code": 0}
    said = first["said"]
    return {"code": first["code"], "told": told_well(scene, said), "message": said[said.rfind("error: ") :]}


def _shown(path: str, scene: Scene) -> str:
    return re.sub(r"\d{8}T\d{6}Z-\w+|\d+(?=-)", "*", path.removeprefix(f"{scene.disk}/"))


def full_disks(bench: Bench, count: int) -> None:
    """Disks with room for a growing share of what the run leaves behind, beside what was there before."""
    needed = sum(_pages(file) for file in bench.written)
    for i in range(count):
        free = int(i / count * needed) // PAGE * PAGE
        for _ in bench.wanted([f"disk-full-{free}"]):
            disk = bench.work / "tmpfs"
            with mounted(disk):
                scene = Scene.laid(bench.work / "case", bench.older, disk)
                room = os.statvfs(disk)
                _remount(disk, (room.f_blocks - room.f_bfree) * room.f_frsize + free)
                first = bench.forks.carry_out(scene, scene.run)
                _remount(disk, ROOMY)
                if first["code"] == 0 and os.strerror(errno.ENOSPC) not in first["said"]:
                    continue  # there was room
                stopped = _stopped(scene, first)
                what = f"{free} of {needed} bytes free at the start"
                case = {"id": f"disk-full-{free}", "kind": "disk-full", "what": what, **stopped}
                bench.record({**case, **bench.ended(scene, first)})


def _pages(file: Path) -> int:
    return PAGE * -(-file.stat().st_size // PAGE)


@contextmanager
def mounted(disk: Path) -> Iterator[None]:
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", disk], check=True)


def _remount(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def file_limits(bench: Bench, sizes: Iterable[int]) -> None:
    for size in sizes:
        name = f"file-limit-{size}"
        for _ in bench.wanted([name]):
            scene = Scene.laid(bench.work / "case", bench.older)
            first = bench.forks.carry_out(scene, scene.run, largest_file=size)
            case = {"id": name, "kind": "file-limit", "what": f"files up to {size} bytes", **_stopped(scene, first)}
            bench.record({**case, **bench.ended(scene, first)})


def killed_at_random(bench: Bench, kind: str, count: int, seed: int) -> None:
    """Runs and resumes, each process killed after a random time, up to six in a row."""
    if sum(c["kind"] == kind for c in bench.done.values()) >= count:
        return
    carry_out = as_command if kind == "kill" else bench.forks.carry_out
    scene = Scene.laid(bench.work / "timed", bench.older)
    timed = carry_out(scene, scene.run)
    assert timed["code"] == 0 and end_of(scene.directories()[0]) == bench.expected, "it ends elsewhere by itself"
    number = 0
    while (missing := count - sum(c["kind"] == kind for c in bench.done.values())) > 0:
        number += 1
        for _ in bench.wanted([f"{kind}-{number}-1"]):
            dice = random.Random(f"{seed} {number}")
            moments = [dice.uniform(0, LATEST * timed["seconds"]) for _ in range(min(missing, KILLS_PER_RUN))]
            _kill_and_end(bench, kind, number, moments, timed["seconds"], carry_out)


def as_command(scene: Scene, arguments: list[str], kill_after: float | None = None) -> dict[str, Any]:
    """What `Forks.carry_out` does, by the command in an interpreter of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "condensa_cli", *arguments]
    begun = time.monotonic()
    with (scene.folder / "said").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, env=os.environ | scene.environment, stdout=said, stderr=said)
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        said.seek(0)
        return {"code": process.returncode, "seconds": time.monotonic() - begun, "said": said.read()}


def _kill_and_end(
    bench: Bench, kind: str, number: int, moments: list[float], lasts: float, carry_out: Callable[..., dict[str, Any]]
) -> None:
    """One run: killed at each moment, then left alone; one case for every kill, told when the run has ended."""
    scene = Scene.laid(bench.work / "killed", bench.older)
    kills: list[dict[str, Any]] = []
    kept: list[Any] = []
    lost = 0
    for moment in [*moments, None]:
        directory = scene.resumable()
        process = carry_out(scene, ["resume", str(directory)] if directory else scene.run, kill_after=moment)
        directory = scene.resumable()
        now = finished_trials(directory) if directory else []
        lost += int(kept != now[: len(kept)])
        kept = now
        if process["code"] != -signal.SIGKILL:
            break
        where = f"{len(kept)} trials finished" if directory else "before there was anything to resume"
        kills.append({"what": f"after {moment:.1f} s of {lasts:.1f} s: {where}", "code": process["code"]})
    assert directory is not None
    ended: dict[str, Any] = {"resumed": process["code"], "lost": lost, "message": process["said"][-2000:]}
    if process["code"] == 0:
        ended |= bench.verdict(scene, directory)
    for i, kill in enumerate(kills, start=1):
        bench.record({"id": f"{kind}-{number}-{i}", "kind": kind, **kill, "by": "resume", **ended})


def table(cases: Iterable[dict[str, Any]]) -> str:
    rows = ["| what happened | cases | exit codes | told well | went on by itself | resumed to the end | "
            "finished trials lost | repeated | same result | older files intact |",
            "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    cases = list(cases)
    for kind, heading in HEADINGS.items():
        found = [case for case in cases if case["kind"] == kind]
        if not found:
            continue
        n = len(found)
        codes = ", ".join(f"{count} x {code}" for code, count in sorted(Counter(c["code"] for c in found).items()))
        stopped = [case["told"] for case in found if "told" in case and case["code"]]
        told = f"{sum(stopped)} of {len(stopped)}" if stopped else "–"
        by_itself = sum(c["by"] == "itself" for c in found)
        resumed = sum(c.get("resumed") == 0 for c in found)
        same, intact = (sum(bool(case.get(key)) for case in found) for key in ("same", "older_intact"))
        lost, repeated = (sum(c.get(key, 0) for c in found) for key in ("lost", "repeated"))
        rows.append(
            f"| {heading} | {n} | {codes} | {told} | {by_itself} | {resumed} of {n - by_itself} | {lost} | {repeated} "
            f"| {same} of {n} | {intact} of {n} |"
        )
    return "\n".join(rows)


def failures(cases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases of which something promised is not true."""
    return [
        case for case in cases
        if not case.get("same") or not case.get("older_intact") or case.get("lost") or case.get("repeated")
        or (case["code"] and case.get("told") is False) or case["code"] not in (-signal.SIGKILL, 0, 3, 4)
    ]  # fmt: skip


def carry_out(chosen: argparse.Namespace) -> None:
    """All cases that the journal does not hold yet."""
    with tempfile.TemporaryDirectory(prefix="condensa-faults-") as temporary:
        work = chosen.work or Path(temporary)
        work.mkdir(exist_ok=True, parents=True)
        forks = Forks(work)
        bench = Bench(work, forks, chosen.journal)
        if chosen.errors:
            failing_calls(bench, chosen.errors, chosen.seed)
        if chosen.disks:
            full_disks(bench, chosen.disks)
            file_limits(bench, [1, 500, 1500, 2500, 4000, 8000, 12000, 16000])
        killed_at_random(bench, "kill-of-fork", chosen.kills_of_forks, chosen.seed)
        killed_at_random(bench, "kill", chosen.kills, chosen.seed)
        killed_at_calls(bench, chosen.kills_at_calls, chosen.seed)
        forks.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journal", type=Path, required=True, help="where finished cases are kept")
    parser.add_argument("--out", type=Path, help="where OUT.json and OUT.md are written")
    parser.add_argument("--work", type=Path, help="a folder for the runs")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs at random moments of the installed command")
    parser.add_argument("--kills-of-forks", type=int, default=80, help="the same without the interpreter's start-up")
    parser.add_argument("--kills-at-calls", type=int, default=20)
    parser.add_argument("--errors", type=int, default=3, help="moments for each kind of operation, twice")
    parser.add_argument("--disks", type=int, default=32)
    parser.add_argument("--table", action="store_true", help="only show what the journal holds")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    if not chosen.table:
        carry_out(chosen)
    cases = [json.loads(line) for line in chosen.journal.read_text().splitlines()]
    print(table(cases))
    bad = failures(cases)
    print(f"{len(bad)} of {len(cases)} cases broke a promise", *(f"  {c['id']}: {c['what']}" for c in bad), sep="\n")
    if chosen.out:
        made = {
            "made": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "command": ["python", *sys.argv],
            "machine": describe_machine().to_json(),
            "versions": versions(),
            "cases": [{k: v for k, v in case.items() if k != "message"} for case in cases],
        }
        chosen.out.with_suffix(".json").write_text(json.dumps(made, indent=1) + "\n")
        chosen.out.with_suffix(".md").write_text(page(made, cases, bad))


def page(made: dict[str, Any], cases: list[dict[str, Any]], bad: list[dict[str, Any]]) -> str:
    return (
        "# Runs that were killed, ran out of disk, or met failing file operations\n\n"
        f"`{' '.join(made['command'])}`, {made['made']}. Exit code -9 is the kill itself; 0 is a run that went on\n"
        "without what only is for reading, or found another way.\n\n"
        f"{table(cases)}\n\n{len(bad)} of {len(cases)} cases broke a promise.\n"
    )


if __name__ == "__main__":
    main()
