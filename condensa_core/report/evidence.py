"""What a search knew before its first trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from condensa_core.report.training_cost import TrainingCost


@dataclass(frozen=True)
class WarmStartResult:
    """Where the trials of an earlier run put this run's bound.

    `value` is that of the knob, None where it lies beyond the strongest; `strength` the same as -ln(what is left), and
    `sd` its standard deviation. `differs` names what is not the same in both runs. Where `held`, no trial broke the
    bound: value and strength are of the strongest of them, and the bound lies there or anywhere beyond.
    """

    run: str
    trials: int
    value: float | int | str | None
    strength: float
    sd: float
    differs: tuple[str, ...] = ()
    held: bool = False


@dataclass(frozen=True)
class ShortRun:
    """One reading of a short run; `metric` None is a failed one."""

    knobs: Mapping[str, float | int | str | bool | None]
    metric: float | None
    stderr: float | None = None


@dataclass(frozen=True)
class ShortRunsResult:
    """Runs with `share` of the iterations, which told the search where to begin; `trainings` has failed attempts."""

    share: float
    runs: tuple[ShortRun, ...] = ()
    trainings: int = 0
    training_cost: TrainingCost = field(default_factory=TrainingCost)
