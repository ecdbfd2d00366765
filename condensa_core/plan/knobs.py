"""The knobs a plan uses: what the search may vary."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from condensa_core.errors import UsageError
from condensa_core.recipe import Expression, KnobSpec, Ref, RuleSpec, references_in, strength_of

Value = float | int | str | bool

_COMBINATIONS = 256  # of the ends of other knobs, to tell which end of one compresses more


@dataclass(frozen=True)
class KnobSpace:
    """The knobs that rules use, in the order they are first used; how each is searched is in `specs`.

    `strongest` is the end of each knob at which most is compressed, `choices` has those of knobs with choices from mild
    to strong: dtypes by their bits, numbers by the setting they give where the knob is first used.
    """

    specs: Mapping[str, KnobSpec]
    strongest: Mapping[str, Literal["high", "low"]]
    choices: Mapping[str, tuple[Value, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.specs)

    def strongest_point(self) -> dict[str, Value]:
        """Every knob at the end at which most is compressed."""
        return {name: self._strongest(name) for name in self.specs}

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

    def _strongest(self, name: str) -> Value:
        spec = self.specs[name]
        if spec.range is None:
            return self.choices[name][-1]
        low, high = spec.range
        return high if self.strongest[name] == "high" else low


def knob_space(rules: tuple[RuleSpec, ...], knobs: Mapping[str, KnobSpec]) -> KnobSpace:
    """The space of the knobs that these rules use."""
    strongest: dict[str, Literal["high", "low"]] = {}
    choices: dict[str, tuple[Value, ...]] = {}
    for rule in rules:
        for leaf in (leaf for scheme in rule.scheme for _, leaf in scheme.leaves()):
            for setting, value in leaf.settings.items():
                for _, reference in references_in(value):
                    for name in sorted(reference.names - strongest.keys()):
                        spec = knobs[name]
                        values = spec.range or spec.choices or ()
                        strength = {v: _strength(reference, setting, name, v, knobs) for v in values}
                        first, last = strength[values[0]], strength[values[-1]]
                        strongest[name] = "high" if last >= first else "low"
                        if spec.choices is not None:
                            choices[name] = tuple(sorted(spec.choices, key=strength.__getitem__))
    return KnobSpace({name: knobs[name] for name in strongest}, strongest, choices)


def _strength(
    reference: Ref | Expression, setting: str, name: str, value: Value, knobs: Mapping[str, KnobSpec]
) -> float:
    """How much the setting compresses with the knob at `value`, on average over the ends of the others."""
    others = [other for other in sorted(reference.names) if other != name]
    strengths = []
    for ends in itertools.islice(itertools.product(*(_ends(knobs[other]) for other in others)), _COMBINATIONS):
        found = reference.evaluate({**dict(zip(others, ends, strict=True)), name: value})
        strengths.append(strength_of(setting, found))
    return fmean(strengths)


def _ends(spec: KnobSpec) -> tuple[Value, Value]:
    if spec.range is not None:
        return spec.range
    assert spec.choices is not None
    return spec.choices[0], spec.choices[-1]
