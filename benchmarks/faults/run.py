"""Runs that are killed, whose disk is full, whose file operations fail: what is left, and what resume makes of it.

    python benchmarks/faults/run.py --journal faults.jsonl --jobs 2 --out benchmarks/results/faults

Needs Linux and a C compiler, and root for the disks that fill (in memory). Every case starts beside an older run and
its cached reference, ends a run of a recipe on digits in some unfriendly way, removes what was in the way, resumes, and
compares with a run that nobody disturbed: finished trials, result, and every exported file by its hash. The same
command goes on with a journal of the same code where it was cut off. `--only KIND` carries out a part.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cases import Case, all_cases, is_root
from ground import Ground
from record import failures, page, tables

from condensa_core.bench import describe_machine
from condensa_core.run_directory import versions

ROOT = Path(__file__).parents[2]
# How many cases; of "error" for each operation, once and staying; of "signal" for each signal, alone and followed.
COUNTS = {
    "kill": 20, "kill-of-fork": 80, "chain": 4, "kill-filters": 10, "kill-pareto": 10, "kill-at-call": 20,
    "kill-at-end": 24, "signal": 6, "disk-full": 20, "file-limit": 8, "read-only": 1, "error": 3, "cache": 5,
    "parallel": 4, "parallel-disk": 10, "commands": 1,
}  # fmt: skip
NEED_ROOT = ("disk-full", "parallel-disk", "read-only", "cache")


class Record:
    """The journal: the code and command it was made by, then a line for every case."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self._writing = path, threading.Lock()
        self.head = {"command": ["python", *sys.argv], "seed": seed, "code": code_sha256(), "versions": versions()}
        self.cases: dict[str, list[dict[str, Any]]] = {}
        if path.is_file() and path.stat().st_size:
            self._read()
        else:
            path.write_text(json.dumps(self.head) + "\n")

    def _read(self) -> None:
        text = self.path.read_text()
        whole, _, torn = text.rpartition("\n")
        if torn:
            self.path.write_text(whole + "\n")
        head, *lines = (json.loads(line) for line in whole.splitlines())
        if (head["code"], head["seed"]) != (self.head["code"], self.head["seed"]):
            raise SystemExit(f"{self.path} was begun with other code or another seed; name a new journal")
        self.head = head
        self.cases = {line["case"]: line["records"] for line in lines}

    def add(self, case: Case, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep what a case came to; the records as they are kept."""
        named = [{"id": f"{case.name}-{i}", "kind": case.kind, **record} for i, record in enumerate(records, start=1)]
        with self._writing:
            self.cases[case.name] = named
            with self.path.open("a") as file:
                file.write(json.dumps({"case": case.name, "records": named}) + "\n")
        return named

    def all(self) -> list[dict[str, Any]]:
        return [record for records in self.cases.values() for record in records]


def code_sha256() -> str:
    """Of everything that is tried and of what tries it."""
    folders = ("condensa_core", "cli", "benchmarks/faults", "recipes")
    files = sorted(f for folder in folders for f in (ROOT / folder).rglob("*") if f.suffix in (".py", ".c", ".yaml"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class Jobs:
    """Carries out cases in as many threads as there are grounds, and says how far it is."""

    def __init__(self, cases: list[Case], record: Record) -> None:
        self.waiting, self.record, self.count = deque(cases), record, len(cases)
        self._lock, self._begun, self.done, self.broken = threading.Lock(), time.monotonic(), 0, 0

    def carry_out(self, grounds: list[Ground]) -> None:
        threads = [threading.Thread(target=self._work, args=[ground]) for ground in grounds]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:  # interrupted: the cases under way are finished, as disks have to be unmounted
            self.waiting.clear()
            for thread in threads:
                thread.join()

    def _work(self, ground: Ground) -> None:
        while True:
            try:
                case = self.waiting.popleft()
            except IndexError:
                return
            begun = time.monotonic()
            try:
                records = case.carry_out(ground)
            except Exception:  # of this program, not of a run: the case stays open, and is told
                traceback.print_exc()
                self.broken += 1
                continue
            self._told(case, self.record.add(case, records), time.monotonic() - begun)

    def _told(self, case: Case, records: list[dict[str, Any]], seconds: float) -> None:
        with self._lock:
            self.done += 1
            left_min = (time.monotonic() - self._begun) / self.done * (self.count - self.done) / 60
            bad = failures(records)
            print(
                f"[{self.done}/{self.count}] {case.name}: {'BROKEN' if bad else 'kept'} in {seconds:.0f} s; "
                f"about {left_min:.0f} min left",
                *(f"    {json.dumps(one)}" for one in bad), sep="\n", flush=True,
            )  # fmt: skip


def carried_out(chosen: argparse.Namespace, record: Record) -> int:
    """Do what the record lacks, in an order of its own, and say how many cases could not be carried out."""
    counts = dict(COUNTS)
    if chosen.only:
        counts = {kind: counts[kind] if kind in chosen.only else 0 for kind in counts}
    counts = {kind: math.ceil(chosen.share * count) for kind, count in counts.items()}
    if not is_root():
        left_out = [kind for kind in NEED_ROOT if counts[kind]]
        print(f"not root, so left out: {', '.join(left_out)}", file=sys.stderr)
        counts |= dict.fromkeys(left_out, 0)
    missing = [case for case in all_cases(chosen.seed, counts) if case.name not in record.cases]
    random.Random(chosen.seed).shuffle(missing)  # so that the first cases tell how long the others take
    if not missing:
        return 0
    with tempfile.TemporaryDirectory(prefix="condensa-faults-", dir=chosen.work) as temporary:
        first = Ground(Path(temporary) / "0")
        others = [Ground(Path(temporary) / str(i), first.known, first.asking) for i in range(1, chosen.jobs)]
        jobs = Jobs(missing, record)
        try:
            jobs.carry_out([first, *others])
        finally:
            for ground in (first, *others):
                ground.close()
    return jobs.broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journal", type=Path, required=True, help="where finished cases are kept")
    parser.add_argument("--out", type=Path, help="where OUT.json and OUT.md are written")
    parser.add_argument("--work", type=Path, help="a folder for the runs, instead of the system's temporary one")
    parser.add_argument("--jobs", type=int, default=1, help="cases at once, each job in a folder of its own")
    parser.add_argument("--only", action="append", choices=tuple(COUNTS), metavar="KIND", help="this part; repeatable")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of each kind, to try it out")
    parser.add_argument("--table", action="store_true", help="only show what the journal holds")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    begun = time.monotonic()
    record = Record(chosen.journal, chosen.seed)
    broken = 0 if chosen.table else carried_out(chosen, record)
    cases = record.all()
    print(tables(cases))
    bad = failures(cases)
    print(f"{len(bad)} of {len(cases)} cases broke a promise", *(f"  {c['id']}: {c['what']}" for c in bad), sep="\n")
    print(f"{(time.monotonic() - begun) / 60:.1f} min; {broken} cases could not be carried out")
    if chosen.out:
        made = {
            "made": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": _commit(),
            "machine": describe_machine().to_json(),
            **record.head,
            "cases": [{k: v for k, v in case.items() if k != "message"} for case in cases],
        }
        chosen.out.with_suffix(".json").write_text(json.dumps(made, indent=1) + "\n")
        chosen.out.with_suffix(".md").write_text(page(made, cases))
    raise SystemExit(bool(bad or broken))


def _commit() -> str:
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip()


if __name__ == "__main__":
    main()
