"""The knobs a plan uses: what the search may vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from condensa_core.errors import UsageError
from condensa_core.recipe import LESS_IS_SMALLER, Expression, KnobSpec, Ref, RuleSpec

Value = float | int | str | bool


@dataclass(frozen=True)
class KnobSpace:
    """The knobs that rules use, in the order they are first used; how each is searched is in `specs`."""

    specs: Mapping[str, KnobSpec]
    strongest: Mapping[str, Literal["high", "low"]]  # the end of each knob at which most is compressed

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.specs)

    def check(self, knobs: Mapping[str, Value]) -> None:
        """UsageError unless `knobs` gives every knob, and no other, a value that it can take."""
        if set(knobs) != set(self.specs):
            wanted = ", ".join(self.specs) or "none"
            raise UsageError(f"expected values for the knobs {wanted}; got {', '.join(knobs) or 'none'}")
        for name, value in knobs.items():
            spec = self.specs[name]
            if spec.choices is not None:
                if value not in spec.choices:
                    raise UsageError(f"knob '{name}' is one of {list(spec.choices)}, not {value!r}")
            elif spec.range is not None:
                low, high = spec.range
                if isinstance(value, (str, bool)) or not low <= value <= high:
                    raise UsageError(f"knob '{name}' lies in {low:g} to {high:g}, not {value!r}")


def knob_space(rules: tuple[RuleSpec, ...], knobs: Mapping[str, KnobSpec]) -> KnobSpace:
    """The space of the knobs that these rules use."""
    specs: dict[str, KnobSpec] = {}
    strongest: dict[str, Literal["high", "low"]] = {}
    for rule in rules:
        for leaf in (leaf for scheme in rule.scheme for _, leaf in scheme.leaves()):
            for setting, value in leaf.settings.items():
                if isinstance(value, (Ref, Expression)):
                    for name in sorted(value.names):
                        specs.setdefault(name, knobs[name])
                        strongest.setdefault(name, _strongest(value, name, knobs, less=setting in LESS_IS_SMALLER))
    return KnobSpace(specs, strongest)


def _strongest(
    value: Ref | Expression, name: str, knobs: Mapping[str, KnobSpec], *, less: bool
) -> Literal["high", "low"]:
    """Which end of a knob compresses more: the one with the larger setting, or with `less` the smaller."""
    first = {other: _ends(knobs[other])[0] for other in value.names}
    low, high = _ends(knobs[name])
    at_low, at_high = value.evaluate({**first, name: low}), value.evaluate({**first, name: high})
    if isinstance(at_low, str) or isinstance(at_high, str):
        return "high"
    return "high" if (at_high >= at_low) != less else "low"


def _ends(spec: KnobSpec) -> tuple[Value, Value]:
    if spec.range is not None:
        return spec.range
    assert spec.choices is not None
    return spec.choices[0], spec.choices[-1]
