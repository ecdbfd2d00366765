"""Measurements against those that were saved earlier on the same machine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from condensa_core.bench import BenchTarget, Comparison, Feeds, Ratio, describe_machine
from condensa_core.bench.statistics import FEWEST, unpaired_ratio_interval
from condensa_core.errors import MachineError, UsageError

Record = Mapping[str, Any]


# What else is installed does not change how fast a file runs.
_TENSORRT: Final = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")
_PACKAGES: Final = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "onnxruntime-tensorrt": ("onnxruntime-gpu", *_TENSORRT),
    "openvino": ("openvino",),
    "tensorrt": _TENSORRT,
    "tensorrt-rtx": ("tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
    "torch": ("torch",),
    "torch-inductor": ("torch",),
}
_AGAIN: Final = "save one with the same options"


def require_same_machine(saved: Record, runtimes: Iterable[str]) -> None:
    """MachineError that names what differs between this machine and the one of the baseline.

    The load does not count, nor do the versions of what none of the runtimes loads. UsageError for a file without a
    machine.
    """
    here, there = describe_machine().to_json(), saved.get("machine")
    if not isinstance(there, dict):
        raise UsageError("the baseline does not say on what machine it was measured", hint=_AGAIN)
    loaded = {f"versions.{package}" for runtime in runtimes for package in _PACKAGES.get(runtime, ())}
    differing = [
        f"{fact} was {'not told' if was is None else was}, here {'not told' if now is None else now}"
        for fact, was, now in _facts(there, here)
        if was != now
        and fact not in ("fingerprint", "load_average")
        and (fact in loaded or not fact.startswith("versions."))
    ]
    if differing:
        raise MachineError(
            "the baseline was measured on another machine: " + "; ".join(differing),
            hint="times of two machines cannot be compared: save one here with --save-baseline",
        )


def inputs_record(feeds: Mapping[str, Feeds], *, random: bool) -> dict[str, Any]:
    """What the files of a comparison are fed, as JSON values: type, shape and digest of each array."""
    return {"random": random, "arrays": {name: _arrays(fed) for name, fed in feeds.items()}}


def saved_rounds(
    saved: Record, target: BenchTarget, scenario: str, names: Iterable[str], inputs: Record, seed: int
) -> dict[str, list[float]]:
    """The rounds of these files in the baseline; UsageError if it has none of them under the same conditions.

    Those are the target, the scenario, the shapes of `inputs`, and the numbers: by the same `seed` where both are
    random (the arrays need not be the same, for they may be drawn to suit a file that has changed), else equal. Nor
    does it take rounds of a GPU from before its own clock was asked, or a file that is no result of `bench`.
    """
    wanted, names = asdict(target), list(names)
    for comparison in _sound(saved):
        if {"streams": 1, **comparison["target"]} == wanted and comparison.get("scenario") == scenario:
            measured = comparison["measurements"]
            missing = [name for name in names if name not in measured]
            if missing:
                has = ", ".join(measured)
                raise UsageError(f"the baseline has no {', '.join(missing)}", hint=f"it has {has}")
            if target.device != "cpu" and not all("clock" in measured[name] for name in names):
                hint = "it may be in wall time, and times are those of the device now: save one again"
                raise UsageError("the baseline does not say by which clock it was timed", hint=hint)
            _require_same_inputs(comparison.get("inputs"), saved.get("seed"), inputs, seed, names)
            return {name: measured[name]["round_s"] for name in names}
    conditions = ", ".join(f"{name} {value}" for name, value in wanted.items())
    raise UsageError(f"the baseline has no {scenario} with {conditions}", hint=_AGAIN)


def _sound(saved: Record) -> list[Record]:
    """The comparisons of the baseline; UsageError where one lacks what is read here."""
    found = saved.get("comparisons")
    for number, comparison in enumerate(found) if isinstance(found, list) else ((0, None),):
        place = f"comparison {number + 1} of the baseline"
        if not isinstance(comparison, dict) or not isinstance(comparison.get("target"), dict):
            raise UsageError(f"{place} does not say where it was measured", hint=_AGAIN)
        measured = comparison.get("measurements")
        if not isinstance(measured, dict):
            raise UsageError(f"{place} has no measurements", hint=_AGAIN)
        for name, record in measured.items():
            rounds = record.get("round_s") if isinstance(record, dict) else None
            if not (isinstance(rounds, list) and rounds and all(map(_is_time, rounds))):
                raise UsageError(f"{place} has no times of {name}", hint=_AGAIN)
    return found if isinstance(found, list) else []


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _require_same_inputs(was: object, was_seed: object, now: Record, seed: int, names: Iterable[str]) -> None:
    """UsageError that names the first difference."""
    if not isinstance(was, dict) or not isinstance(was.get("arrays"), dict):
        raise UsageError("the baseline does not say what its files were fed", hint=_AGAIN)
    random, kinds = now["random"], {True: "random inputs", False: "arrays of --inputs"}
    if was.get("random") is not random:
        raise UsageError(f"the baseline was fed {kinds[not random]}, here are {kinds[random]}", hint=_AGAIN)
    for name in names:
        before, here = was["arrays"].get(name), now["arrays"][name]
        if not isinstance(before, dict) or set(before) != set(here):
            has = ", ".join(before) if isinstance(before, dict) else "none"
            raise UsageError(f"{name} had other inputs in the baseline: {has}; here {', '.join(here)}", hint=_AGAIN)
        for value, array in here.items():
            then = before[value] if isinstance(before[value], dict) else {}
            if then.get("shape") != array["shape"]:
                shapes = f"{value} was {then.get('shape')}, here {array['shape']}"
                raise UsageError(f"the baseline of {name} is of other shapes: {shapes}", hint=_AGAIN)
            if not random and then.get("sha256") != array["sha256"]:
                raise UsageError(f"the baseline of {name} was fed other numbers as {value}", hint=_AGAIN)
    if random and was_seed != seed:
        raise UsageError(f"the baseline is of --seed {was_seed}, here it is {seed}", hint=_AGAIN)


def _arrays(feeds: Feeds) -> dict[str, Any]:
    return {
        name: {
            "type": array.dtype.name,
            "shape": list(array.shape),
            "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
        }
        for name, array in feeds.items()
    }


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
