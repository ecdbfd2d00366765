"""Bounds on a comparison, and whether they hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from condensa_core.bench.measurement import RESOLUTION, Comparison, Ratio
from condensa_core.bench.parity import Parity
from condensa_core.bench.statistics import FEWEST
from condensa_core.errors import UsageError

Gate = Literal["min-speedup", "max-slowdown", "max-size", "max-engine-size", "max-error", "parity", "engine"]


@dataclass(frozen=True)
class Bounds:
    """What must hold of every file; None asks nothing. UsageError for limits that mean nothing."""

    min_speedup: float | None = None  # how many times as fast as the base: 1.5
    max_slowdown: float | None = None  # fraction more time than the base: 0.05
    max_size_bytes: int | None = None
    max_error: float | None = None  # as `Difference.max_rel`, to the base or, without one, to the file itself
    max_engine_bytes: int | None = None  # of the engine that TensorRT makes of the file

    def __post_init__(self) -> None:
        _positive("min-speedup", self.min_speedup)
        _positive("max-slowdown", None if self.max_slowdown is None else 1 + self.max_slowdown)
        _coarse("max-slowdown", None if self.max_slowdown is None else 1 / (1 + self.max_slowdown))
        _coarse("min-speedup", self.min_speedup)
        _positive("max-size", self.max_size_bytes)
        _positive("max-engine-size", self.max_engine_bytes)
        if self.max_error is not None and not self.max_error >= 0:
            raise UsageError("max-error must not be negative")


@dataclass(frozen=True)
class Verdict:
    """Whether one bound holds for one file, and the sentence that says so with the figures.

    `allowed`: it need not hold, and does not.
    """

    gate: Gate
    name: str  # of the file
    passed: bool
    line: str
    allowed: bool = False


def judge_speed(comparison: Comparison, name: str, to: str, bounds: Bounds) -> tuple[Verdict, ...]:
    """One verdict for each bound on speed, for the file `name` against `to`.

    A bound holds when the whole 95 % interval of the ratio holds it, and the 2 % by which two sessions of one file may
    differ: a claim that the measurement does not show is not passed.
    """
    return judge_ratio(name, to, comparison.ratio(name, to), bounds)


def judge_ratio(name: str, to: str, ratio: Ratio, bounds: Bounds) -> tuple[Verdict, ...]:
    """As `judge_speed`, of a ratio that was found elsewhere."""
    surely = ratio.low / (1 + RESOLUTION)
    shown = f"{ratio.value:.3f}x [{ratio.low:.3f}, {ratio.high:.3f}]"
    if not ratio.certain:
        shown = f"{ratio.value:.3f}x in fewer than {FEWEST} rounds, too few for an interval"
    sessions = f"of which {RESOLUTION:.0%} are not the file's doing but the session's"
    verdicts = []
    if bounds.min_speedup is not None:
        line = f"{name} is {shown} as fast as {to}, asked at least {bounds.min_speedup:g}x"
        if surely < bounds.min_speedup <= ratio.low:
            line += f": {sessions}"
        passed = ratio.certain and surely >= bounds.min_speedup
        verdicts.append(verdict("min-speedup", name, passed, line))
    if bounds.max_slowdown is not None:
        slowest = 1 / surely - 1 if surely > 0 else math.inf
        most, allowed = f"{1 + slowest:.1%}", f"{1 + bounds.max_slowdown:.1%}"
        line = f"{name} takes at most {most} of the time of {to} ({shown}), allowed {allowed}"
        passed = ratio.certain and slowest <= bounds.max_slowdown
        verdicts.append(verdict("max-slowdown", name, passed, line))
    return tuple(verdicts)


def judge_size(name: str, size_bytes: int, bounds: Bounds) -> tuple[Verdict, ...]:
    """The verdict on the file's size, with the weights it keeps in other files; none where nothing is asked."""
    limit = bounds.max_size_bytes
    if limit is None:
        return ()
    return (verdict("max-size", name, size_bytes <= limit, f"{name} takes {size_bytes:,} bytes, allowed {limit:,}"),)


def judge_engine(name: str, size_bytes: int | None, problem: str, bounds: Bounds) -> tuple[Verdict, ...]:
    """The verdict on the size of the file's engine; none where nothing is asked.

    `size_bytes` None: it could not be built, for the reason `problem`. That fails, and so does a bound on its size.
    """
    limit = bounds.max_engine_bytes
    if size_bytes is None:
        missing = verdict("engine", name, False, f"{name} has none: {problem}")
        if limit is None:
            return (missing,)
        return missing, verdict("max-engine-size", name, False, f"{name} has no engine, allowed {limit:,} bytes")
    if limit is None:
        return ()
    line = f"the engine of {name} takes {size_bytes:,} bytes, allowed {limit:,}"
    return (verdict("max-engine-size", name, size_bytes <= limit, line),)


def judge_outputs(
    gate: Literal["parity", "max-error"], name: str, against: str, parity: Parity, *, allow: bool
) -> tuple[Verdict, ...]:
    """The verdict on the outputs of a timed session; none where nobody asked.

    What cannot be judged fails a bound that was asked for, and is a warning otherwise; `allow` is not about the former.
    """
    if parity.tolerance is None:
        return ()
    allow = (allow or parity.ok is None) and not parity.asked
    if parity.ok is None:
        line = f"{name} is not checked against {against}: {parity.problem}"
    elif parity.difference is not None and not parity.difference.finite:
        line = f"{name} gives NaN or infinity"
    else:
        line = f"{name} differs from {against}{parity.finding}, allowed {parity.tolerance:g}"
    return (verdict(gate, name, parity.ok is True, line, allow=allow),)


def verdict(gate: Gate, name: str, passed: bool, line: str, *, allow: bool = False) -> Verdict:
    """The verdict, its line begun with `pass`, `FAIL`, or `warn` where a failure is allowed."""
    word = "pass" if passed else "warn" if allow else "FAIL"
    return Verdict(gate, name, passed, f"{word}  {gate}: {line}", allowed=allow and not passed)


def _positive(gate: str, limit: float | None) -> None:
    if limit is not None and not limit > 0:
        raise UsageError(f"{gate} must be positive")


def _coarse(gate: Gate, least_ratio: float | None) -> None:
    """UsageError for a bound that allows a difference, but one too small to be seen: a copy would not hold it."""
    if least_ratio is not None and 1 / (1 + RESOLUTION) <= least_ratio < 1:
        raise UsageError(
            f"{gate} allows less than the {RESOLUTION:.0%} by which two sessions of one file differ",
            hint="allow 5%, or ask with --min-speedup 1x that it is faster",
        )
