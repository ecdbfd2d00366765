"""What the schemes of a plan do to speed and files, and what they do not do: told in the outcome, unasked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from condensa_core.plan import Plan
from condensa_core.schemes import Compose, Scheme, Sum
from condensa_core.search import Value


def scheme_notes(plan: Plan, knobs: Mapping[str, Value], metric: str | None) -> list[str]:
    """A line for each scheme that removes no channels, and one for each that heeds less than the `metric` asked for.

    They are those of the plan at these knob values.

    A sum has one line for all of it, because it ships as the dense sum whatever its members are. Integers that
    compute are not told a speed here, because theirs is measured.
    """
    integers = plan.observers(knobs)
    notes = []
    for task in plan.tasks_at(knobs):
        computes = not integers.keys().isdisjoint(task.names)
        members = task.scheme.schemes if isinstance(task.scheme, Compose) else (task.scheme,)
        for scheme in members:
            facts = scheme.facts
            if facts.structure != "channel":
                speed = "" if computes and scheme.name == "quantize" else f"speed: {facts.speeds_up}; "
                notes.append(f"{_title(scheme)}: {speed}file: {facts.shrinks_file}")
        if metric == "gram":
            diagonal = (leaf for leaf in _leaves(task.scheme) if leaf.facts.metrics == {"diagonal"})
            notes += [f"{leaf.name}: of metric gram it heeds the diagonal alone" for leaf in diagonal]
    return list(dict.fromkeys(notes))


def _title(scheme: Scheme) -> str:
    return f"sum of {' and '.join(each.name for each in scheme.schemes)}" if isinstance(scheme, Sum) else scheme.name


def _leaves(scheme: Scheme) -> Iterator[Scheme]:
    if isinstance(scheme, Sum | Compose):
        for member in scheme.schemes:
            yield from _leaves(member)
    else:
        yield scheme
