"""Which layers a recipe's selectors name, and what to say when they name none.

A glob is matched segment by segment: `*` stands for one segment or part of it, `**` for any number of them, also none.
`re:` is a regular expression for the whole name, `all` is every layer.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from condensa_core.graph.channels import Layer, ModelGraph
from condensa_core.plan.regular_expressions import fitting, holding

_WRAPPERS = ("module.", "_orig_mod.")  # torch.nn.DataParallel and torch.compile


class LayerNames:
    """The layers of one model under the names recipes use: without the prefixes that wrappers add."""

    def __init__(self, graph: ModelGraph) -> None:
        self.layers = {without_wrappers(layer.name): layer for layer in graph.layers}

    def matched(self, selector: str) -> tuple[str, ...]:
        """The names a selector stands for, in the model's order; TooLong for an expression that backtracks too much."""
        if selector.startswith("re:"):
            return fitting(selector[3:], tuple(self.layers))
        return tuple(name for name in self.layers if selects(selector, name))

    def advice(self, selector: str) -> tuple[str, ...]:
        """Help for a selector that matches nothing."""
        return _advice(selector, tuple(self.layers), self.layers)


def without_wrappers(name: str) -> str:
    """The name without the prefixes of data-parallel and compiled wrappers."""
    for wrapper in _WRAPPERS:
        if name.startswith(wrapper) and len(name) > len(wrapper):
            return without_wrappers(name[len(wrapper) :])
    return name


def is_exact(selector: str) -> bool:
    """Whether a selector names one layer: no pattern, no `all`."""
    return selector != "all" and not selector.startswith("re:") and not re.search(r"[*?\[]", selector)


def selects(selector: str, name: str) -> bool:
    """Whether a selector stands for the layer of this name; TooLong as `LayerNames.matched`."""
    if selector == "all":
        return True
    if selector.startswith("re:"):
        return bool(fitting(selector[3:], (name,)))
    return _glob(selector.split("."), name.split("."))


def _glob(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    """Segment-wise match; `reached` are the numbers of segments that the pattern so far can have consumed."""
    reached = {0}
    for part in pattern:
        if part == "**":
            reached = set(range(min(reached), len(segments) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(segments) and fnmatchcase(segments[at], part)}
    return len(segments) in reached


def _advice(selector: str, names: Sequence[str], layers: dict[str, Layer]) -> tuple[str, ...]:
    if selector.startswith("re:"):
        inside = holding(selector[3:], names)
        if inside:
            return (
                f"a regular expression must fit the whole name; '{inside[0]}' holds it: write 're:.*{selector[3:]}.*'",
            )
        return (_names_there("", names),)
    wrapper = next((prefix for prefix in _WRAPPERS if selector.startswith(prefix)), None)
    if wrapper is not None:
        return (f"names carry no '{wrapper}' prefix here; data-parallel wrappers are stripped",)
    stem, _, tensor = selector.rpartition(".")
    if stem and any(selects(stem, name) and tensor in layer.parameters for name, layer in layers.items()):
        return (f"layers are named without the tensor: write '{stem}' (and 'params: [{tensor}]' to choose tensors)",)
    if any(selects(f"{selector}.**", name) for name in names):
        return (f"'{selector}' holds layers: write '{selector}.**' for all of them",)
    return _segment_advice(selector.split("."), names)


def _segment_advice(pattern: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Names the first segment that fits nothing, with what stands there instead."""
    for size in range(1, len(pattern) + 1):
        if any(_glob([*pattern[:size], "**"], name.split(".")) for name in names):
            continue
        parent = list(pattern[: size - 1])
        there = dict.fromkeys(
            segments[depth]
            for segments in (name.split(".") for name in names)
            for depth in range(len(segments))
            if _glob(parent, segments[:depth])
        )
        near = difflib.get_close_matches(pattern[size - 1], there, n=1)
        found = f"did you mean '{near[0]}' for '{pattern[size - 1]}'? " if near else ""
        return (found + _names_there(".".join(parent), there),)
    return (_names_there("", names),)


def _names_there(parent: str, names: Iterable[str]) -> str:
    top = list(dict.fromkeys(names if parent else (name.split(".")[0] for name in names)))
    shown = ", ".join(top[:12]) + (f" and {len(top) - 12} more" if len(top) > 12 else "")
    return f"names {f'under {parent!r}' if parent else 'at the top of the model'}: {shown or 'none'}"
