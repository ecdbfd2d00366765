"""The objective over a knob's grid, known before anything is trained, and the few settings worth training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from condensa_core.errors import UsageError
from condensa_core.search.coordinates import Floats
from condensa_core.search.space import Knob, Point, Value


@dataclass(frozen=True)
class Setting:
    """A knob value and the objective measured there; None where it could not be measured."""

    value: Value
    objective: float | None


@dataclass(frozen=True)
class Record:
    """A setting whose objective beats the reference and every milder setting."""

    value: Value
    objective: float


@dataclass(frozen=True)
class ObjectiveProfile:
    """The objective of untrained candidates over a grid of one knob, beside the reference model's.

    Objectives are positive (a rate, a time, a size); `maximize` or `minimize` says which way is better. `margin` is the
    relative gain that measurement noise could fake: anything at or below it counts as no gain.
    """

    knob: Knob
    settings: tuple[Setting, ...]
    reference: float
    direction: Literal["maximize", "minimize"] = "maximize"
    margin: float = 0.0
    name: str = "objective"

    def __post_init__(self) -> None:
        if self.direction not in ("maximize", "minimize"):
            raise UsageError(f"{self.name}: direction must be maximize or minimize, got {self.direction!r}")
        for place, number in (("the reference", self.reference), *((s.value, s.objective) for s in self.settings)):
            if number is not None and not (math.isfinite(number) and number > 0):
                raise UsageError(f"{self.name}: objectives must be positive numbers, got {number} at {place}")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise UsageError(f"{self.name}: the noise margin must be at least 0, got {self.margin}")
        ordered = tuple(sorted(self.settings, key=lambda setting: self.knob.unit(setting.value)))
        object.__setattr__(self, "settings", ordered)

    @classmethod
    def measured(
        cls,
        knob: Knob,
        objectives: Iterable[tuple[Value, float | None]],
        reference: float,
        direction: Literal["maximize", "minimize"] = "maximize",
        margin: float = 0.0,
        name: str = "objective",
    ) -> ObjectiveProfile:
        """The profile of (value, objective) pairs in any order."""
        return cls(knob, tuple(Setting(v, o) for v, o in objectives), reference, direction, margin, name)

    def gain(self, objective: float, over: float) -> float:
        """By how much `objective` is better than `over`: 0.5 is half as fast again, or two thirds of the size."""
        return (objective / over if self.direction == "maximize" else over / objective) - 1.0

    def records(self) -> tuple[Record, ...]:
        """The mildest setting of each new best objective, from mild to strong; each beats the reference and the last.

        Every other setting is at least as strong as a record whose objective is as good (within the margin), so while
        the metric falls with strength only records are worth a trial. Empty when nothing beats the reference.
        """
        return self._records

    def objective_at(self, value: Value) -> float | None:
        """The objective measured at this very value; None where it was not."""
        return self._objectives.get(value)

    def at(self, point: Point) -> float | None:
        """`objective_at` of a point that sets this knob."""
        return self.objective_at(point[self.knob.name])

    def estimate(self, units: Floats) -> Floats:
        """The objective at unit coordinates, n x 1 -> n: log-linear between measured settings, nan outside them."""
        known = [(self.knob.unit(s.value), s.objective) for s in self.settings if s.objective is not None]
        if not known:
            return np.full(len(units), np.nan)
        at, objectives = np.array(known, dtype=np.float64).T
        return np.exp(np.interp(units[:, 0], at, np.log(objectives), left=np.nan, right=np.nan))

    @cached_property
    def _objectives(self) -> dict[Value, float | None]:
        return {setting.value: setting.objective for setting in self.settings}

    @cached_property
    def _records(self) -> tuple[Record, ...]:
        best = self.reference
        records: list[Record] = []
        for setting in self.settings:
            if setting.objective is not None and self.gain(setting.objective, best) > self.margin:
                best = setting.objective
                records.append(Record(setting.value, setting.objective))
        return tuple(records)

    def to_record(self) -> dict[str, Any]:
        """JSON values from which `from_record` makes an equal profile of the same knob (a resumed run reuses it)."""
        return {
            "settings": [[setting.value, setting.objective] for setting in self.settings],
            "reference": self.reference,
            "direction": self.direction,
            "margin": self.margin,
            "name": self.name,
        }

    @classmethod
    def from_record(cls, knob: Knob, record: Mapping[str, Any]) -> ObjectiveProfile:
        """The profile that `to_record` described."""
        return cls.measured(
            knob,
            [(value, objective) for value, objective in record["settings"]],
            record["reference"],
            record["direction"],
            record["margin"],
            record["name"],
        )
