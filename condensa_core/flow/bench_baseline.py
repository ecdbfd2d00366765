"""Measurements against those that were saved earlier on the same machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from condensa_core.bench import BenchTarget, Comparison, Ratio, describe_machine
from condensa_core.bench.statistics import FEWEST, unpaired_ratio_interval
from condensa_core.errors import MachineError, UsageError

Record = Mapping[str, Any]


def require_same_machine(saved: Record) -> None:
    """MachineError that names what differs between this machine and the one of the baseline; the load does not count.

    UsageError for a file without a machine.
    """
    here, there = describe_machine().to_json(), saved.get("machine")
    if not isinstance(there, dict):
        raise UsageError("the baseline does not say on what machine it was measured")
    differing = [
        f"{fact} was {was}, here {now}"
        for fact, was, now in _facts(there, here)
        if was != now and fact not in ("fingerprint", "load_average")
    ]
    if differing:
        raise MachineError(
            "the baseline was measured on another machine: " + "; ".join(differing),
            hint="times of two machines cannot be compared: save one here with --save-baseline",
        )


def saved_rounds(saved: Record, target: BenchTarget, scenario: str, names: Iterable[str]) -> dict[str, list[float]]:
    """The rounds of these files in the baseline; UsageError if it has none of them under the same conditions.

    Nor does it take rounds of a GPU from before its own clock was asked.
    """
    wanted = asdict(target)
    for comparison in saved["comparisons"]:
        if {"streams": 1, **comparison["target"]} == wanted and comparison["scenario"] == scenario:
            measured = comparison["measurements"]
            missing = [name for name in names if name not in measured]
            if missing:
                has = ", ".join(measured)
                raise UsageError(f"the baseline has no {', '.join(missing)}", hint=f"it has {has}")
            if target.device != "cpu" and not all("clock" in measured[name] for name in names):
                hint = "it may be in wall time, and times are those of the device now: save one again"
                raise UsageError("the baseline does not say by which clock it was timed", hint=hint)
            return {name: measured[name]["round_s"] for name in names}
    conditions = ", ".join(f"{name} {value}" for name, value in wanted.items())
    raise UsageError(f"the baseline has no {scenario} with {conditions}", hint="save one with the same options")


def ratios_to_saved(comparison: Comparison, rounds: Mapping[str, list[float]]) -> Iterator[tuple[str, Ratio]]:
    """How many times faster each file is than it was; not taken in turns, so the machine's mood is in it."""
    for name, before in rounds.items():
        now = comparison.measurement(name).round_s
        interval = unpaired_ratio_interval(before, now, seed=comparison.seed.child("saved", name))
        certain = min(len(before), len(now)) >= FEWEST
        yield name, Ratio(interval.value, interval.low, interval.high, certain)


def _facts(there: Record, here: Record) -> Iterator[tuple[str, Any, Any]]:
    for fact, now in here.items():
        was = there.get(fact)
        if isinstance(now, dict) and isinstance(was, dict):
            for part in sorted({*now, *was}):
                yield f"{fact}.{part}", was.get(part), now.get(part)
        else:
            yield fact, was, list(now) if isinstance(now, tuple) else now
