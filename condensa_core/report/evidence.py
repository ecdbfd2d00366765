"""What a search knew before its first trial."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WarmStartResult:
    """Where the trials of an earlier run put this run's bound.

    `value` is that of the knob, None where it lies beyond the strongest; `strength` the same as -ln(what is left), and
    `sd` its standard deviation. `differs` names what is not the same in both runs.
    """

    run: str
    trials: int
    value: float | int | str | None
    strength: float
    sd: float
    differs: tuple[str, ...] = ()
