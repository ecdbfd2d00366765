"""What the schemes of a plan do to speed and files, and what they do not do: told in the outcome, unasked."""

from __future__ import annotations

from condensa_core.plan import Plan
from condensa_core.schemes import Compose, Scheme, Sum
from condensa_core.search import Value


def scheme_notes(plan: Plan) -> list[str]:
    """A line for each scheme that removes no channels.

    A sum has one line for all of it, because it ships as the dense sum whatever its members are. Integers that
    compute are not told a speed here, because theirs is measured.
    """
    integers = plan.observers()
    notes = []
    for task in plan.tasks_at({name: _any_value(plan, name) for name in plan.space.names}):
        computes = not integers.keys().isdisjoint(task.names)
        members = task.scheme.schemes if isinstance(task.scheme, Compose) else (task.scheme,)
        for scheme in members:
            facts = scheme.facts
            if facts.structure != "channel":
                speed = "" if computes and scheme.name == "quantize" else f"speed: {facts.speeds_up}; "
                notes.append(f"{_title(scheme)}: {speed}file: {facts.shrinks_file}")
    return list(dict.fromkeys(notes))


def _title(scheme: Scheme) -> str:
    return f"sum of {' and '.join(each.name for each in scheme.schemes)}" if isinstance(scheme, Sum) else scheme.name


def _any_value(plan: Plan, name: str) -> Value:
    spec = plan.space.specs[name]
    return (spec.range or spec.choices or (0.0,))[0]
