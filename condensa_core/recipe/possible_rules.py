"""Which rules can apply at all, as far as their conditions and the targets tell without a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from condensa_core.platforms import DEVICES, DEVICES_OF, FEATURES
from condensa_core.recipe.conditions import WhenSpec
from condensa_core.recipe.records import RuleSpec, TargetSpec


def possible_rules(rules: Sequence[RuleSpec], own: str, targets: Mapping[str, TargetSpec]) -> dict[int, RuleSpec]:
    """By position, those whose conditions may hold on the objective's target, called `own`: '' is condensa's.

    All of them where that target is in question: not declared, or none of several.
    """
    target = targets.get(own, None if targets else TargetSpec())
    return {number: rule for number, rule in enumerate(rules) if target is None or _may_apply(rule, own, target)}


def holds_nowhere(when: WhenSpec, targets: Mapping[str, TargetSpec]) -> str:
    """What makes the conditions exclude each other on every machine; empty where they do not.

    Conditions on targets that are not declared exclude nothing.
    """
    places = {(runtime, device) for runtime, devices in DEVICES_OF.items() for device in devices}
    named = [targets[name] for name in when.target or () if name in targets]
    if when.target is not None and len(named) == len(when.target):
        places = {(target.backend, target.device) for target in named}
    if any(_fits(when, *place) for place in places):
        return ""
    facts = [f"target {name} is {targets[name].backend} on {targets[name].device}" for name in when.target or ()]
    facts += [f"{runtime} computes on {' and '.join(DEVICES_OF[runtime])}" for runtime in when.runtime or ()]
    for feature in when.has or ():
        devices = [device for device in DEVICES if FEATURES[feature].may_be_on(device)]
        facts += [f"{feature} is of {devices[0]} only"] if len(devices) == 1 else []
    return "; ".join(facts)


def _may_apply(rule: RuleSpec, name: str, target: TargetSpec) -> bool:
    when = rule.when
    return when is None or ((when.target is None or name in when.target) and _fits(when, target.backend, target.device))


def _fits(when: WhenSpec, runtime: str, device: str) -> bool:
    """Whether runtime and device are among those asked for, and some hardware of the device has the features."""
    return (
        (when.runtime is None or runtime in when.runtime)
        and when.device in (None, device)
        and all(FEATURES[feature].may_be_on(device) for feature in when.has or ())
    )
