"""What the cases came to: which of them broke a promise, and the tables."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from moments import PHASES

KILLED: Final = (-signal.SIGKILL,)
REFUSED: Final = (3, 4)
AT_ONCE_S: Final = 5.0  # within which a second signal ends a run, on a machine that is busy with another job
# Each kind: its heading, and the exit codes that a run may leave with.
KINDS: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "kill": ("SIGKILL of the command at a random moment, start-up included", KILLED),
    "kill-of-fork": ("SIGKILL of its fork at a random moment", KILLED),
    "chain": ("SIGKILL of every process of a run, until one ends first", KILLED),
    "kill-filters": ("SIGKILL, recipes/digits-filters.yaml with a counted objective", KILLED),
    "kill-pareto": ("SIGKILL, recipes/digits-pareto.yaml", KILLED),
    "kill-at-call": ("SIGKILL at a file operation", (*KILLED, 0)),
    "kill-at-end": ("SIGKILL at an operation on best/, result.json, junit.xml or report.html", (*KILLED, 0)),
    "signal": ("SIGINT or SIGTERM at a random moment", (130, 0)),
    "signals": ("the same, and SIGINT within half a second", (130, 0)),
    "disk-full": ("disk full (tmpfs)", (*REFUSED, 0)),
    "file-limit": ("no file may grow further (RLIMIT_FSIZE)", REFUSED),
    "read-only": ("disk mounted read-only", REFUSED),
    "error-once": ("one file operation fails", (*REFUSED, 0)),
    "error-stays": ("file operations fail from then on", (*REFUSED, 0)),
    "cache-fails": ("cache folder: operations fail, full, read-only, a file", (0,)),
    "cache-torn": ("cached reference cut, changed, empty, another's", (0,)),
    "parallel-command": ("two workers, SIGKILL of the command", (*KILLED, 0)),
    "parallel-worker": ("two workers, SIGKILL of one of them; code 4 before it had begun", (0, 4)),
    "parallel-all": ("two workers, SIGKILL of all processes", (*KILLED, 0)),
    "parallel-disk": ("two workers, disk full (tmpfs)", (*REFUSED, 0)),
    **{
        f"{command}-{how}": (f"{text}: its file {what}", codes)
        for command, text in (
            ("bench", "bench --save-baseline"),
            ("unpack", "unpack -o"),
            ("engine", "engine -o"),
            ("report", "report --html"),
        )
        for how, what, codes in (
            ("fails", "refused, at each operation", REFUSED),
            ("killed", "in the making, SIGKILL at each operation", (*KILLED, 0)),
        )
    },
}


def failures(cases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases of which something promised is not true."""
    return [case for case in cases if broken(case)]


def broken(case: dict[str, Any]) -> list[str]:
    """What of the promises does not hold."""
    found = {
        "the exit code": case["code"] not in KINDS[case["kind"]][1],
        "what it told": case.get("told") is False and (case["code"] != 0 or case["kind"].startswith("cache")),
        "the end of the resumed run": case.get("by") != "itself" and case.get("resumed") != 0,
        "a finished trial is lost": bool(case.get("lost")),
        "a finished trial is repeated": bool(case.get("repeated")),
        "the result": not case.get("same"),
        "older files": not case.get("older_intact"),
        "processes are left behind": bool(case.get("left_behind")),
        "files are left behind": bool(case.get("left")),
        "the second signal": case["kind"] == "signals" and case["signals"] == 2 and case["stopped_s"] > AT_ONCE_S,
    }
    return [what for what, is_so in found.items() if is_so]


def tables(cases: list[dict[str, Any]]) -> str:
    """What happened and what came of it; then where in a run the kills and signals fell."""
    rows = ["| what happened | cases | exit codes | told well | went on by itself | resumed to the end | "
            "finished trials lost | repeated | same result | older files intact |",
            "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for kind, (heading, _) in KINDS.items():
        found = [case for case in cases if case["kind"] == kind]
        if found:
            rows.append(f"| {heading} | {' | '.join(_figures(found))} |")
    return "\n".join([*rows, "", *_moments(cases)])


def _figures(found: list[dict[str, Any]]) -> list[str]:
    n = len(found)
    codes = ", ".join(f"{count} x {code}" for code, count in sorted(Counter(c["code"] for c in found).items()))
    asked = [c["told"] for c in found if "told" in c and (c["code"] or c["kind"].startswith("cache"))]
    by_itself = sum(c.get("by") == "itself" for c in found)
    resumed = sum(c.get("by") != "itself" and c.get("resumed") == 0 for c in found)
    lost, repeated = (sum(c.get(key, 0) for c in found) for key in ("lost", "repeated"))
    same, intact = (sum(bool(c.get(key)) for c in found) for key in ("same", "older_intact"))
    told = f"{sum(asked)} of {len(asked)}" if asked else "–"
    figures = (f"{resumed} of {n - by_itself}", lost, repeated, f"{same} of {n}", f"{intact} of {n}")
    return [str(n), codes, told, str(by_itself), *map(str, figures)]


def _moments(cases: list[dict[str, Any]]) -> list[str]:
    rows = [f"| where it fell | {' | '.join(PHASES)} |", f"|---|{'---:|' * len(PHASES)}"]
    for kind, (heading, _) in KINDS.items():
        phases = Counter(c["phase"] for c in cases if c["kind"] == kind and "phase" in c)
        if phases:
            rows.append(f"| {heading} | {' | '.join(str(phases[phase]) for phase in PHASES)} |")
    return rows


def page(made: dict[str, Any], cases: list[dict[str, Any]]) -> str:
    """The document of a record: how it was made, the tables, and what their words mean."""
    stops = {
        kind: [c["stopped_s"] for c in cases if c["kind"] == kind and c["code"] == 130]
        for kind in ("signal", "signals")
    }
    told = zip(("one signal", "the second"), stops.values(), strict=True)
    slowest = [f"{max(seconds):.1f} s after {what}" for what, seconds in told if seconds]
    chained = [c["kills"] for c in cases if c["kind"] == "chain"]
    notes = [
        f"{len(failures(cases))} of {len(cases)} cases broke a promise.",
        "The recipe is a small one on digits (`benchmarks/faults/scene.py`: four trials, counted objective), so that a "
        "hundred runs can be ended and compared to the bit; those of the shipped recipes have rows of their own. "
        "digits-filters.yaml maximizes measured throughput, which no two runs share: its objective is macs here. "
        "Most runs are forked from a process that has loaded everything, which calls what the command calls; the first "
        "row is the installed command. Exit code -9 is the kill itself; 0 is a run that went on without what is only "
        "for reading, found another way, or had ended before.",
        "Trials that are lost or repeated are counted by the journal and by run.log. The same result is that of an "
        "undisturbed run: trials, result and the hash of every exported file, without times; where a worker was killed "
        "its trial has another seed, so there: of all other trials. Two workers may end trials in either "
        "order: the probabilities that are fitted to them, and after how many the best was reached, are not compared. "
        "For commands that write one file: it is the old "
        "one or a whole new one. Older files are compared by hash. Start-up ends with the reference's first epoch, or "
        "with the profile where the reference is cached.",
        *([f"Slowest stop: {', '.join(slowest)}, beside other work."] if slowest else []),
        *([f"Processes killed in a row until a run ended: {', '.join(map(str, chained))}."] if chained else []),
    ]  # fmt: skip
    head = "# Runs that were killed, ran out of disk, or met failing file operations\n\n"
    command = f"`{' '.join(made['command'])}`, {made['made']}, {made['commit']}.\n\n"
    return head + command + tables(cases) + "\n\n" + "\n\n".join(notes) + "\n"
