"""`bench`: exported files timed against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from condensa_core import bench as measuring
from condensa_core.bench import BenchTarget, judge
from condensa_core.errors import UsageError
from condensa_core.export import compare_outputs
from condensa_core.progress import Listener, silent
from condensa_core.randomness import Seed


def bench(
    paths: Sequence[Path],
    *,
    batch: int = 1,
    threads: int = 1,
    device: str = "cpu",
    seconds: float = 2.0,
    rounds: int = 20,
    seed: int = 0,
    compare: Path | None = None,
    at_least: float | None = None,
    listener: Listener = silent,
) -> dict[str, Any]:
    """The comparison as JSON values (schema condensa.bench/1) with status, exit_code and reasons.

    With `compare` all ratios are to that file, the difference of outputs on the same random inputs is reported, and
    `at_least` must hold for the lower end of every interval: `verdicts` says of each file whether it does, `reasons` of
    those that do not.
    UsageError for files that cannot be measured, MissingRuntime for what is not installed.
    """
    if at_least is not None and compare is None:
        raise UsageError("--at-least needs --compare: a ratio to what?")
    named = _names([compare, *paths] if compare else list(paths))
    base, *others = named
    # before anything is timed: files that cannot be compared are refused in the first second
    parity = {name: asdict(compare_outputs(named[base], named[name])) for name in others} if compare else {}
    target = BenchTarget(device=device, batch=batch, threads=threads)
    comparison = measuring.compare(
        named, target, seconds=seconds * len(named), rounds=rounds, seed=Seed(seed), listener=listener
    )
    result = comparison.to_json()
    if compare:
        result["parity"] = parity
    verdicts = [verdict for name in others for verdict in judge(comparison, name, base, at_least=at_least)]
    reasons = [verdict.line for verdict in verdicts if not verdict.passed]
    result["verdicts"] = [asdict(verdict) for verdict in verdicts]
    head = {"schema": result.pop("schema"), "status": "not-met" if reasons else "ok", "exit_code": 1 if reasons else 0}
    return {**head, "reasons": reasons, **result}


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Short names that tell the files apart: the file's own, with as many of its folders as it takes."""
    named: dict[str, Path] = {}
    for path in paths:
        tails = (path.parts[-depth:] for depth in range(1, len(path.parts) + 1))
        own = (tail for tail in tails if sum(other.parts[-len(tail) :] == tail for other in paths) == 1)
        name = str(Path(*next(own, path.parts)))
        if name in named:
            raise UsageError(f"{path} is given twice")
        named[name] = path
    return named
