"""The search on one knob: random curves with a known crossing, staircases, and the one published curve.

    python benchmarks/search/one_knob.py --tasks 100 --seed S --journal plays.jsonl --out search-one-knob

Each strategy plays each task through the public ask/tell interface. The journal grows line by line and a second call
goes on after the first; plays of an older engine are played again. `--out X` writes X.json and X.md: error of the
estimated level, regret and feasibility of what is returned, loss, calibration, runs used, CPU; bisection beside all.

    --strategies a,b:raw,c:gamma=0.5     as `strategy_named` knows them; "raw" is short for coordinates=raw
    --kinds smooth,stairs,vgg19          a part of the work
    --noise-untold                       leave the noise to the search's default
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy or torch starts a thread pool: CPU seconds are reported

import vgg19
from curves import task
from figures import SMOOTH_TARGETS, STAIR_TARGETS, figures, plainly
from journal import Journal, engine_digest
from playing import Contender, play
from staircases import stair_task
from tables import page

from condensa_core.bench import describe_machine

KINDS = {"smooth": task, "stairs": stair_task}
STRATEGIES = (
    "level-set,bisection,ils-ucb,ils-ucb:raw,dr-ucb,probabilistic-bisection,straddle,ei,pi,ucb,grid,random,sobol"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--strategies", default=STRATEGIES)
    parser.add_argument("--kinds", default="smooth,stairs,vgg19")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--noise-untold", action="store_true")
    parser.add_argument("--any-engine", action="store_true", help="also count plays of older engines")
    parser.add_argument("--out", type=Path, help="without an ending")
    options = parser.parse_args()
    contenders = [Contender.named(name) for name in _names(options.strategies)]
    journal = Journal(options.journal, None if options.any_engine else engine_digest())
    kinds = options.kinds.split(",")
    for contender in contenders:
        for kind in kinds:
            if kind in KINDS:
                _play_all(journal, kind, contender, options)
    result = _result(journal, contenders, kinds, options)
    for kind, targets in (("smooth", SMOOTH_TARGETS), ("stairs", STAIR_TARGETS)):
        for target in targets if "level-set" in result["kinds"].get(kind, {}) else ():
            found = result["kinds"][kind]["level-set"]
            print("met   " if target.met(found) else "MISSED", f"{kind:7s} {target.what:45s} {target.shown(found)}")
    if options.out:
        options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(page(result))


def _names(text: str) -> list[str]:
    """Strategies between commas; a part with "=" and no ":" goes on with the options of the one before."""
    names: list[str] = []
    for part in text.split(","):
        if names and "=" in part and ":" not in part:
            names[-1] += f",{part}"
        else:
            names.append(part)
    return names


def _play_all(journal: Journal, kind: str, contender: Contender, options: argparse.Namespace) -> None:
    for index in range(options.tasks):
        if (kind, options.seed, index, contender.name) in journal:
            continue
        given = KINDS[kind](options.seed, index)
        begun = time.monotonic()
        played = play(contender, given, noise_told=not options.noise_untold)
        journal.add({
            "kind": kind, "seed": options.seed, "task": index, "contender": contender.name,
            "family": given.curve.family, "noise": given.noise, "drop": given.drop, "crossing": given.crossing,
            **played,
        })  # fmt: skip
        print(f"{kind} {index} {contender.name} {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)


def _result(
    journal: Journal, contenders: list[Contender], kinds: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in kinds:
        if kind in KINDS:
            plays = {c.name: journal.plays(kind, options.seed, c.name)[: options.tasks] for c in contenders}
            found[kind] = {name: figures(played) for name, played in plays.items()}
            if "bisection" in plays:
                found[kind]["bisection, plain"] = figures(plainly(plays["bisection"]))
    if "vgg19" in kinds:
        speeds = {
            c.name: {
                "measured": vgg19.speeds(c, measured=True),
                "1 / (1 - s)": vgg19.speeds(c, measured=False),
            }
            for c in contenders
        }
        found["vgg19"] = {"targets": {f"{d:g}": fps for d, fps in vgg19.TARGETS.items()}, "speeds": speeds}
    untold = " --noise-untold" if options.noise_untold else ""
    return {
        "benchmark": "level searches on one knob",
        "command": f"python benchmarks/search/one_knob.py --tasks {options.tasks} --seed {options.seed}"
        f" --strategies {options.strategies} --kinds {options.kinds}{untold}",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": describe_machine().to_json(),
        "versions": {name: version(name) for name in ("numpy", "torch", "botorch")},
        "seed": options.seed,
        "kinds": found,
    }


if __name__ == "__main__":
    main()
