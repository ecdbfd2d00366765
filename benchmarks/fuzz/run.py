"""Mutated recipes, run directories and ONNX files through the commands that read them: how many, and how each ended.

    nice python benchmarks/fuzz/run.py recipes runs onnx --journal fuzz.jsonl --out benchmarks/results/fuzz

Cases are made from their number and a seed: a journal that was cut off goes on, and `--cases 4711` runs one again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from fuzzing import SEED, Record, Target, fuzz, summary

from condensa_core.bench import describe_machine

TARGETS: Final = {
    "recipes": ("recipes", "RECIPES"),
    "runs": ("run_directories", "RUNS"),
    "onnx": ("onnx_files", "ONNX"),
}


def target_named(name: str) -> Target:
    """Loads what the target needs and nothing else."""
    module, constant = TARGETS[name]
    found: Target = getattr(importlib.import_module(module), constant)
    return found


def main() -> int:
    """1 where a case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", choices=TARGETS)
    parser.add_argument("--count", type=int, help="cases of each target, instead of all")
    parser.add_argument("--first", type=int, default=0, help="leave out the cases before this one")
    parser.add_argument("--seconds", type=float, help="begin no further case of a target after this time")
    parser.add_argument("--cases", type=int, nargs="+", help="these cases and no others, with their failures in full")
    parser.add_argument("--journal", type=Path, help="records of finished cases; those in it are not run again")
    parser.add_argument("--out", type=Path, help="writes OUT.json and OUT.md")
    asked = parser.parse_args()
    found = []
    for name in asked.targets:
        target = target_named(name)
        numbers = asked.cases or range(asked.first, asked.count or target.cases)
        records = _recorded(target, numbers, asked.journal, asked.seconds)
        found.append(summary(target, records))
        sys.stdout.write(table([found[-1]]) + "\n")
        if asked.cases:
            sys.stdout.writelines(f"{record}\n{record.failure}\n" for record in records)
    if asked.out:
        record = {
            "benchmark": "mutated input through the installed commands",
            "command": "python benchmarks/fuzz/run.py " + " ".join(asked.targets),
            "date": datetime.now(timezone.utc).date().isoformat(),
            "machine": describe_machine().to_json(),
            "seed": SEED,
            "targets": found,
        }
        asked.out.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        asked.out.with_suffix(".md").write_text(table(found) + "\n" + outcomes(found), encoding="utf-8")
    return int(any(each["failures"] for each in found))


def _recorded(target: Target, numbers: Sequence[int], journal: Path | None, seconds: float | None) -> list[Record]:
    until: float | None = None
    known: dict[int, Record] = {}
    if journal is not None and journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            entry: dict[str, Any] = json.loads(line)
            if entry.pop("target") == target.name:
                known[entry["number"]] = Record(**entry)
    with tempfile.TemporaryDirectory() as folder:
        for record in fuzz(target, [number for number in numbers if number not in known], Path(folder)):
            known[record.number] = record
            if record.failure:
                sys.stderr.write(f"{target.name} {record.number} ({record.mutation}): {record.failure[-1500:]}\n")
            if journal is not None:
                with journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"target": target.name, **asdict(record)}) + "\n")
            if seconds is not None:
                until = until or time.monotonic() + seconds  # what is prepared before the first case is no case's time
                if time.monotonic() > until:
                    break
    return [known[number] for number in numbers if number in known]


def table(found: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| input to | cases | failures | over 1 s of processor | slowest, wall | most memory |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        slowest, most = each["slowest"], each["most_memory"]
        lines.append(
            f"| `{each['what']}` | {each['cases']:,} | {each['failures']} | {each['over_1_s']} | "
            f"{slowest['wall_s']:.2f} s ({slowest['mutation']}) | {most['bytes'] / 1e6:.0f} MB ({most['mutation']}) |"
        )
    return "\n".join(lines) + "\n"


def outcomes(found: Sequence[dict[str, Any]]) -> str:
    """How the cases ended, and what had been changed."""
    text = ""
    for each in found:
        for title, counts in (("outcome", each["outcomes"]), ("what was changed", each["mutations"])):
            text += f"\n| `{each['what']}`: {title} | cases |\n|---|---|\n"
            text += "".join(f"| {name} | {count:,} |\n" for name, count in counts.items())
    return text


if __name__ == "__main__":
    sys.exit(main())
