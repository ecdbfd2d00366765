"""What is learned from a trial."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from condensa_core.search.space import Point

# The detail that is kept of a trial even where it failed: JSON values on what its training cost.
TRAINING_COST: Final = "training_cost"


@dataclass(frozen=True)
class Trial:
    """One setting of all knobs to be evaluated: `number` counts from 0, `attempt` from 0 after each failure.

    `brief` holds JSON values on the trials before it, fixed when the attempt first starts.
    """

    number: int
    point: Point
    attempt: int = 0
    brief: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Reading:
    """What an evaluation measured: the metric, its standard deviation, the objective of the finished candidate.

    `sd` is the noise of the *difference to the reference* where both were judged on the same samples (smaller than the
    metric's own standard error); None takes the problem's default. `objective` None takes the profile's value.
    `details` are JSON values kept in the journal for the report. `aborted` says why the evaluation was given up before
    its end, where it was: the metric is then what was to be expected of it, and nothing can be shipped.
    """

    metric: float
    sd: float | None = None
    objective: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    aborted: str = ""

    @property
    def is_finite(self) -> bool:
        """Whether metric, sd and objective are finite numbers; anything else is a failed trial."""
        numbers = (self.metric, *(x for x in (self.sd, self.objective) if x is not None))
        return all(math.isfinite(x) for x in numbers)


@dataclass(frozen=True)
class Observation:
    """A finished trial: `metric` is None exactly when `status` is "failed"; `failure` then says why.

    That of an "aborted" trial is an expectation, with its sd, which never ships; `failure` says why it was given up.
    """

    point: Point
    status: Literal["ok", "failed", "aborted"]
    metric: float | None = None
    sd: float | None = None
    objective: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""

    @classmethod
    def of(cls, point: Point, reading: Reading) -> Observation:
        """The trial that read this; failed when any of its numbers is not finite, or one of its details is no number.

        Infinite details (the perplexity of a model that was only rounded can be) become the largest float there is.
        """
        missing = _no_number(reading.details)
        if missing and reading.is_finite:
            spent = {key: reading.details[key] for key in reading.details if key == TRAINING_COST}
            return cls.failed(point, f"the evaluation gave no number for {missing}", spent)
        if not reading.is_finite:
            numbers = f"{reading.metric} for the metric, sd {reading.sd}, objective {reading.objective}"
            spent = {key: reading.details[key] for key in reading.details if key == TRAINING_COST}
            return cls.failed(point, f"the evaluation read {numbers}", spent)
        status: Literal["ok", "aborted"] = "aborted" if reading.aborted else "ok"
        return cls(
            point, status, reading.metric, reading.sd, reading.objective, _bounded(reading.details), reading.aborted
        )

    @classmethod
    def failed(cls, point: Point, failure: str, details: Mapping[str, Any] | None = None) -> Observation:
        """A trial that gave no metric."""
        return cls(point, "failed", failure=failure, details=details or {})

    def to_record(self) -> dict[str, Any]:
        """JSON values from which `from_record` makes an equal observation."""
        return {
            "point": dict(self.point),
            "status": self.status,
            "metric": self.metric,
            "sd": self.sd,
            "objective": self.objective,
            "details": dict(self.details),
            "failure": self.failure,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Observation:
        """The observation that `to_record` described; unknown keys are ignored."""
        names = ("point", "status", "metric", "sd", "objective", "details", "failure")
        return cls(**{name: record[name] for name in names})


def _no_number(value: Any, name: str = "") -> str:
    """The name of the first NaN among JSON values; empty if there is none."""
    if isinstance(value, float):
        return name if math.isnan(value) else ""
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    )
    return next((found for key, v in items if (found := _no_number(v, f"{name}.{key}".lstrip(".")))), "")


def _bounded(value: Any) -> Any:
    """JSON values with every infinite number replaced by the largest finite one of its sign."""
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(sys.float_info.max, value)
    if isinstance(value, Mapping):
        return {key: _bounded(v) for key, v in value.items()}
    return [_bounded(v) for v in value] if isinstance(value, (list, tuple)) else value
