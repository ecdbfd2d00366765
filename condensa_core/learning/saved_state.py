"""Whether what a file says of a loop can be gone on with: one that is whole may be of another loop, or forged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

_MOST = 2**63


class Saved(Protocol):
    """What of the saved progress is held against the loop."""

    @property
    def step(self) -> int: ...
    @property
    def best_step(self) -> int: ...
    @property
    def history(self) -> tuple[dict[str, Any], ...]: ...
    @property
    def live(self) -> dict[str, Tensor]: ...
    @property
    def multipliers(self) -> dict[str, Tensor]: ...
    @property
    def best(self) -> dict[str, Tensor]: ...
    @property
    def best_shifted(self) -> dict[str, Tensor]: ...
    @property
    def earlier(self) -> dict[str, Tensor]: ...


def fits(saved: Saved, live: Mapping[str, Tensor], weights: Mapping[str, Tensor], steps: int) -> bool:
    """Whether it is of a loop of `steps` L steps over a model with the state `live` and these compressed `weights`."""
    best = bool(saved.best_step)
    return (
        1 <= saved.step <= steps
        and saved.best_step < saved.step == len(saved.history)
        and _alike(saved.live, live)
        and _alike(saved.multipliers, weights)
        and _alike(saved.earlier, weights)
        and (_alike(saved.best, live) if best else not saved.best)
        and (_alike(saved.best_shifted, weights) if best else not saved.best_shifted)
    )


def are_facts(facts: Any) -> bool:
    """Whether JSON values are what is saved beside the tensors."""
    return (
        isinstance(facts, dict)
        and facts.keys() == {"step", "loss", "history", "best_step", "spent", "numbers"}
        and _is_count(facts["step"])
        and _is_count(facts["best_step"])
        and _is_number(facts["loss"])
        and isinstance(facts["history"], list)
        and all(map(_is_entry, facts["history"]))
        and isinstance(facts["spent"], dict)
        and facts["spent"].keys() == {"trained", "inferred", "processor_s"}
        and all(_is_number(value) and value >= 0 for value in facts["spent"].values())
        and isinstance(facts["numbers"], dict)
        and all(value is None or isinstance(value, (bool, int, float)) for value in facts["numbers"].values())
    )


def _is_entry(entry: Any) -> bool:
    """Whether it is the record of one step."""
    if not isinstance(entry, dict) or not isinstance(entry.get("score"), dict):
        return False
    score = entry["score"]
    return (
        _is_count(entry.get("step"))
        and isinstance(entry.get("settled"), bool)
        and all(_is_number(entry.get(key)) for key in ("mu", "distance"))
        and (entry.get("loss") is None or _is_number(entry["loss"]))
        and score.keys() == {"value", "stderr", "count", "better"}
        and _is_number(score["value"])
        and _is_number(score["stderr"])
        and _is_count(score["count"])
        and score["better"] in ("higher", "lower")
    )


def _alike(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    """Whether both name the same tensors, of the same shapes and types."""
    return found.keys() == wanted.keys() and all(
        tensor.shape == wanted[name].shape and tensor.dtype == wanted[name].dtype for name, tensor in found.items()
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < _MOST and not math.isnan(value)
