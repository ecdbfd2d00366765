"""Bounds on a comparison, and whether they hold."""

from __future__ import annotations

from dataclasses import dataclass

from condensa_core.bench.measurement import Comparison
from condensa_core.errors import UsageError


@dataclass(frozen=True)
class Verdict:
    """Whether one bound holds, and the sentence that says so with the figures."""

    gate: str  # at-least, max-slowdown, max-size
    passed: bool
    line: str


def judge(
    comparison: Comparison,
    name: str,
    to: str,
    *,
    at_least: float | None = None,
    max_slowdown: float | None = None,
    max_size_bytes: int | None = None,
) -> tuple[Verdict, ...]:
    """One verdict per bound given, for the file `name` against `to`.

    `at_least` is how many times as fast (1.5), `max_slowdown` a fraction (0.05 is 5 % more time). A bound on speed
    holds when the whole 95 % interval of the ratio holds it: a claim that the measurement does not show is not passed.
    """
    ratio, size = comparison.ratio(name, to), comparison.measurement(name).size_bytes
    shown = f"{ratio.value:.3f}x [{ratio.low:.3f}, {ratio.high:.3f}]"
    verdicts = []
    if at_least is not None:
        _positive("at-least", at_least)
        line = f"{name} is {shown} as fast as {to}, asked at least {at_least:g}x"
        verdicts.append(_verdict("at-least", ratio.low >= at_least, line))
    if max_slowdown is not None:
        _positive("max-slowdown", 1 + max_slowdown)
        slowest = 1 / ratio.low - 1
        line = f"{name} takes at most {slowest:+.1%} time against {to} ({shown}), allowed {max_slowdown:+.1%}"
        verdicts.append(_verdict("max-slowdown", slowest <= max_slowdown, line))
    if max_size_bytes is not None:
        _positive("max-size", max_size_bytes)
        passed = size <= max_size_bytes
        verdicts.append(_verdict("max-size", passed, f"{name} takes {size:,} bytes, allowed {max_size_bytes:,}"))
    return tuple(verdicts)


def _verdict(gate: str, passed: bool, line: str) -> Verdict:
    return Verdict(gate, passed, f"{'pass' if passed else 'FAIL'}  {gate}: {line}")


def _positive(gate: str, limit: float) -> None:
    if not limit > 0:
        raise UsageError(f"{gate} must be positive")
