"""Whether a run's journal tells of its trials what the run goes on to read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from condensa_core.errors import ResumeError
from condensa_core.flow.carrying import float_path
from condensa_core.flow.early_abort import brief
from condensa_core.flow.training_cost import costs_by_trial
from condensa_core.flow.trial import FILE, KEEP, WEIGHTS
from condensa_core.search import Journal

_MAPPINGS: Final = ("val", "agreement_val", "direct_val", "learned_val", "lc", "ratio", "measurement", "kept", "parity")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_NUMBERS: Final = ("bytes", "macs", "parameters", "stored_bits", "counted_bits")


def require_readable(journal: Journal) -> None:
    """ResumeError where a trial that is finished lacks what the verdict is made of, or it is of another kind."""
    ended = [entry.payload for entry in journal.entries if entry.kind == "trial-ended"]
    try:
        if len({payload["number"] for payload in ended}) < len(ended):
            raise ValueError("a trial that ended twice")
        for payload in ended:
            if payload["point"] != payload["observation"]["point"]:
                raise ValueError("an observation of another point")
            if payload["observation"]["status"] == "ok":
                _require(payload["observation"]["details"])
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
    for key in ("value", "low", "high"):
        _require_number(details["ratio"][key])
    left = {FILE, WEIGHTS, KEEP, *([] if details["integers"] is None else [float_path(Path(FILE)).name])}
    if not left <= details["files"].keys() or not all(_SHA256.fullmatch(text) for text in details["files"].values()):
        raise ValueError("files that no trial leaves")
    for score in (*details["val"].values(), *details["agreement_val"].values(), details["direct_val"]):
        if isinstance(score, Mapping):
            _require_number(score["value"])


def _require_number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")


def _flat(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _flat(item)] if isinstance(value, list) else [value]
