"""Whether a run's journal tells of its trials what the run goes on to read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from condensa_core.errors import ResumeError
from condensa_core.flow.early_abort import brief
from condensa_core.flow.training_cost import costs_by_trial
from condensa_core.search import Journal

_MAPPINGS: Final = ("val", "agreement_val", "direct_val", "learned_val", "lc", "ratio", "measurement", "kept", "parity")
_NUMBERS: Final = ("bytes", "macs", "parameters", "stored_bits", "counted_bits")


def require_readable(journal: Journal) -> None:
    """ResumeError where a trial that is finished lacks what the verdict is made of, or it is of another kind."""
    ended = [entry.payload["observation"] for entry in journal.entries if entry.kind == "trial-ended"]
    try:
        for observation in ended:
            if observation["status"] == "ok":
                _require(observation["details"])
        told = brief(journal.entries)
        readings = [*(value for history in told.values() for value in _flat(history))]
        costs = [vars(cost) for cost in costs_by_trial(journal.entries).values()]
        for value in [*readings, *(figure for cost in costs for figure in cost.values() if figure is not None)]:
            _require_number(value)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as err:
        raise ResumeError(
            f"{journal.path} does not tell of its trials what a run does", hint="start a new run"
        ) from err


def _require(details: Mapping[str, Any]) -> None:
    for key in _MAPPINGS:
        if not isinstance(details[key], Mapping):
            raise TypeError(key)
    for key in _NUMBERS:
        _require_number(details[key])
    _require_number(details["ratio"]["value"])
    for score in (*details["val"].values(), *details["agreement_val"].values(), details["direct_val"]):
        if isinstance(score, Mapping):
            _require_number(score["value"])


def _require_number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")


def _flat(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _flat(item)] if isinstance(value, list) else [value]
