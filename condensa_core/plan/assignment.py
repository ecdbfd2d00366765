"""The plan: which tensors and channel families each rule compresses, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from condensa_core.errors import Place, PlanError, Problem, SchemeError
from condensa_core.graph.channels import Family
from condensa_core.plan.knobs import KnobSpace, Value
from condensa_core.recipe import (
    FLOATING,
    LEFT_ALONE,
    PythonSpec,
    Ref,
    SchemeSpec,
    check_setting,
    references_in,
    setting_at,
)
from condensa_core.schemes import SCHEMES, Compose, Part, Sum, scheme_named
from condensa_core.schemes.contract import Scheme


@dataclass(frozen=True, eq=False, kw_only=True)
class Task(Part):
    """A part and the rule it comes from."""

    rule: int  # the first rule it comes from
    label: str


@dataclass(frozen=True, eq=False)
class Assignment:
    """A task before the knobs have values."""

    rule: int
    label: str
    names: tuple[str, ...]
    families: tuple[Family, ...]
    schemes: tuple[SchemeSpec, ...]
    place: Place
    uses: Mapping[str, float]
    own: Mapping[str, Any]  # the user's patterns by name, criteria by their key

    def at(self, knobs: Mapping[str, Value]) -> Task | None:
        """The task at these knob values, None where they leave its weights alone; PlanError at the rule's place if the
        scheme refuses them."""
        try:
            acting = [spec for spec in self.schemes if dtype_at(spec, knobs) != LEFT_ALONE]
            if not acting:
                return None
            made = tuple(built(spec, knobs, self.own) for spec in acting)
            scheme = made[0] if len(made) == 1 else Compose(made)
        except SchemeError as error:
            advice = (error.hint,) if error.hint else ()
            raise PlanError([Problem("E222", error.message, self.place, advice)]) from error
        return Task(
            names=self.names,
            scheme=scheme,
            families=self.families,
            uses=self.uses,
            rule=self.rule,
            label=self.label,
        )


@dataclass(frozen=True)
class Row:
    """One line of the plan's table."""

    line: int | None
    rule: str
    layers: int
    total: int
    parameters: int
    scheme: str
    knob: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A recipe bound to one model: what would be compressed, before anything expensive starts."""

    space: KnobSpace
    assignments: tuple[Assignment, ...]
    kept: tuple[str, ...]  # layers in `keep`
    problems: tuple[Problem, ...]  # warnings, in file order
    table: tuple[Row, ...]

    def tasks_at(self, knobs: Mapping[str, Value]) -> tuple[Task, ...]:
        """The tasks at these knob values; UsageError if they do not fit `space`."""
        self.space.check(knobs)
        tasks = (assignment.at(knobs) for assignment in self.assignments)
        return tuple(task for task in tasks if task is not None)

    def heeding(self) -> tuple[tuple[str, ...], ...]:
        """The tensors of each task of which a scheme heeds another metric than the identity."""
        leaves = [(a.names, [leaf for spec in a.schemes for _, leaf in spec.leaves()]) for a in self.assignments]
        return tuple(names for names, specs in leaves if any(SCHEMES[spec.kind].facts.metrics for spec in specs))

    def observers(self, knobs: Mapping[str, Value]) -> dict[str, str]:
        """Parameter -> rule for the reach of activations, for the parameters whose layers compute in integers."""
        return {
            name: spec.observer
            for a in self.assignments
            for spec in a.schemes
            if spec.observer is not None and dtype_at(spec, knobs) not in FLOATING
            for name in a.names
        }

    def rows(self) -> list[dict[str, Any]]:
        """The plan's table as plain data: line, rule, layers matched of total, parameters, scheme, knob."""
        return [vars(row).copy() for row in self.table]


def built(spec: SchemeSpec, knobs: Mapping[str, Value], own: Mapping[str, Any]) -> Scheme:
    """The scheme of these settings at these knob values; SchemeError if it refuses them. `own` as in `Assignment`."""
    if spec.sum is not None:
        return Sum(tuple(built(summand, knobs, own) for summand in spec.sum))
    settings = {name: _checked(name, value, knobs) for name, value in spec.settings.items()}
    if isinstance(spec.settings.get("dtype"), Ref) and settings["dtype"] in FLOATING:
        settings = {"dtype": settings["dtype"]}  # the others are about integers
    for name, value in settings.items():
        if isinstance(value, PythonSpec):
            settings[name] = own[value.key]
        elif name == "pattern":
            settings[name] = own.get(str(value), value)
    scheme: Scheme = scheme_named(spec.kind)(**settings)
    return scheme


def _checked(name: str, value: Any, knobs: Mapping[str, Value]) -> Any:
    """A setting at these knob values, as the recipe would read it there: `fp16` is float16, 2.0 filters are 2."""
    if not any(references_in(value)):
        return value
    found, check = setting_at(value, knobs), check_setting(name)
    return tuple(map(check, found)) if isinstance(found, tuple) else check(found)


def dtype_at(spec: SchemeSpec, knobs: Mapping[str, Value]) -> str | None:
    """The dtype that a quantize scheme has at these knob values; None of any other scheme."""
    return None if spec.quantize is None else str(_checked("dtype", spec.quantize.dtype, knobs))
