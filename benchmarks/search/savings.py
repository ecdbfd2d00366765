"""What an expected crossing and short runs save the search on one knob, on random curves with a known crossing.

    python benchmarks/search/savings.py --tasks 100 --seed S --journal savings.jsonl --out savings.md

Every contender is the default search without its stop rule. A warm one is told the true crossing plus a Student-t
deviate of the sd that it is told with it, in t = -ln(1 - s). Short runs cost a fifth of a whole one; their knee comes
0.1 to 0.5 earlier in t, by as much for all short runs of a task. In the contender called blunt they also lose a third
of the drop everywhere; in that called strange they fall by another law than whole runs do.

The journal grows line by line, and a second call goes on after the first.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy or torch starts a thread pool: CPU seconds are reported

import numpy as np
from curves import STRONGEST, Task, curve, task
from families import LAWS
from journal import Journal, engine_digest
from playing import KNOB, Unstopped, judged, problem_of

from condensa_core.randomness import Seed
from condensa_core.search import ExpectedStrength, LevelProblem, LevelSetSearch, Search

WHOLE: Final = 8  # runs of every contender
SHARE: Final = 0.2  # of a whole training, which a short one costs
SHIFTS: Final = (0.1, 0.5)
BLUNT: Final = 1 / 3  # of the drop


@dataclass(frozen=True)
class Contender:
    """What a search is told beforehand: how well it knows the crossing, how many short runs it has read."""

    name: str
    sd: float | None = None
    short: int = 0
    blunt: bool = False
    strange: bool = False

    def cost(self, runs: int) -> float:
        """In whole trainings."""
        return runs + SHARE * self.short


CONTENDERS: Final = (
    Contender("cold"),
    Contender("warm, sd 0.6", sd=0.6),
    Contender("warm, sd 0.3", sd=0.3),
    Contender("warm, sd 0.1", sd=0.1),
    Contender("2 short", short=2),
    Contender("4 short", short=4),
    Contender("4 short, blunt", short=4, blunt=True),
    Contender("4 short, strange", short=4, strange=True),
    Contender("warm, sd 0.3, 4 short", sd=0.3, short=4),
)


def play(contender: Contender, given: Task) -> dict[str, Any]:
    """JSON values: standings after each number of whole runs, and CPU seconds of every suggestion."""
    own = Seed(given.seed).child("savings")
    problem = problem_of(given)
    if contender.sd is not None:
        off = float(own.numpy_generator("expected").standard_t(3)) * contender.sd
        problem = replace(problem, expected=ExpectedStrength(-math.log1p(-given.crossing) + off, contender.sd))
    if contender.short:
        shift = float(own.numpy_generator("shift").uniform(*SHIFTS))
        whole = given.curve
        if contender.strange:
            drawn = curve(own.child("strange").root, law=(given.index + 1) % len(LAWS))
            whole = replace(whole, law=drawn.law)
        brief = replace(given, curve=whole.earlier(shift), seed=own.child("short").root)
        search = _search(replace(problem, expected=None), contender.short)
        while points := search.ask():
            lost = BLUNT * given.drop if contender.blunt else 0.0
            search.tell(points[0], brief.reading(float(points[0][KNOB.name])) - lost)
        problem = replace(problem, short_readings=search.observations)
    search = _search(problem, WHOLE)
    standings, cpu_s = [], []
    while True:
        begun = time.process_time()
        points = search.ask()
        cpu_s.append(round(time.process_time() - begun, 4))
        if not points:
            break
        search.tell(points[0], given.reading(float(points[0][KNOB.name])))
        standings.append(_standing(given, search))
    standings += standings[-1:] * (WHOLE - len(standings))  # no record was left: it stands where it ended
    return {"standings": standings, "cpu_s": cpu_s[:-1]}


def _search(problem: LevelProblem, budget: int) -> Search:
    return Search(problem, Unstopped(LevelSetSearch(problem)), budget=budget)


def _standing(given: Task, search: Search) -> dict[str, Any]:
    """The answer held against the truth."""
    said = search.recommend()
    crossing = STRONGEST if said.crossing is None else float(said.crossing)
    returned = float(said.point[KNOB.name]) if said.feasible and said.point is not None else 0.0
    return {"error": abs(crossing - given.crossing), **judged(given, returned)}


def figures(plays: list[dict[str, Any]], runs: int) -> dict[str, float]:
    """Over all tasks after so many whole runs."""
    standings = [played["standings"][runs - 1] for played in plays]
    errors = [standing["error"] for standing in standings]
    return {
        "error": median(errors),
        "error_p90": float(np.quantile(errors, 0.9)),
        "regret": median([s["regret"] for s in standings if s["regret"] is not None] or [1.0]),
        "loss": mean(s["loss"] for s in standings),
        "infeasible": mean(s["infeasible"] for s in standings),
    }


def page(plays: dict[str, list[dict[str, Any]]], command: str) -> str:
    """Markdown: what is reached after so many runs, and at which cost."""
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    parts = [f"# What a warm start and short runs save\n\n`{command}`, {date}.\n"]
    assert __doc__ is not None
    parts.append(__doc__.split("\n\n")[2] + "\n")
    parts.append("Whole runs until the median error of the level, in sparsity, is at most 0.004, and what they cost:\n")
    rows = []
    for contender in CONTENDERS:
        reached = [n for n in range(1, WHOLE + 1) if figures(plays[contender.name], n)["error"] <= 0.004]
        runs = f"{reached[0]}" if reached else f"over {WHOLE}"
        rows.append([contender.name, runs, f"{contender.cost(reached[0]):.1f}" if reached else ""])
    parts.append(_table(["", "whole runs", "cost"], rows))
    for key, title, form in (
        ("error", "Error of the level in sparsity, median (90th percentile)", "{:.4f}"),
        ("regret", "Regret of what is returned, median of the truly feasible", "{:.1%}"),
        ("loss", "Loss: regret, or all that the best gains where what is returned is truly infeasible; mean", "{:.3f}"),
        ("infeasible", "Truly infeasible returns", "{:.0%}"),
    ):
        rows = []
        for contender in CONTENDERS:
            cells = []
            for n in range(2, WHOLE + 1):
                found = figures(plays[contender.name], n)
                cells.append(form.format(found[key]) + (f" ({found['error_p90']:.3f})" if key == "error" else ""))
            rows.append([contender.name, f"{contender.cost(0):.1f}", *cells])
        parts += [f"## {title}\n", _table(["whole runs", "cost before", *map(str, range(2, WHOLE + 1))], rows)]
    seconds = [s for of in plays.values() for played in of for s in played["cpu_s"]]
    tasks = len(next(iter(plays.values())))
    parts.append(
        f"{tasks} tasks. CPU seconds for a suggestion: median {median(seconds):.3f},"
        f" 95th percentile {float(np.quantile(seconds, 0.95)):.3f}.\n"
    )
    return "\n".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    journal = Journal(options.journal, engine_digest())
    for index in range(options.tasks):
        given = task(options.seed, index)
        for contender in CONTENDERS:
            if ("savings", options.seed, index, contender.name) not in journal:
                filed = {"kind": "savings", "seed": options.seed, "task": index, "contender": contender.name}
                journal.add({**filed, **play(contender, given)})
    plays = {c.name: journal.plays("savings", options.seed, c.name)[: options.tasks] for c in CONTENDERS}
    text = page(plays, f"python benchmarks/search/savings.py --tasks {options.tasks} --seed {options.seed}")
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
