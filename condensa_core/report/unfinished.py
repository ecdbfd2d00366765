"""How far a run came that has no result yet: the trials its journal says are finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condensa_core.errors import UsageError
from condensa_core.report.outcome import TrialResult

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def finished_trials(journal: Path) -> tuple[TrialResult, ...]:
    """The finished trials of a `trials.jsonl`, by number; the file may be in use, and is only read.

    A line that tells of no finished trial, or is not whole, is passed over: this looks, it does not verify, as resuming
    does. UsageError if the file cannot be read.
    """
    from pydantic import ValidationError

    try:
        lines = journal.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as err:
        raise UsageError(f"{journal} cannot be read: {err.strerror}") from err
    found: dict[int, TrialResult] = {}
    for line in lines:
        try:
            record = json.loads(line)["record"]
            if record["kind"] == "trial-ended":
                trial = _trial(record["payload"])
                found[trial.number] = trial
        except (ValueError, RecursionError, KeyError, TypeError, ValidationError):
            continue
    return tuple(found[number] for number in sorted(found))


def _trial(payload: Mapping[str, Any]) -> TrialResult:
    seen = payload["observation"]
    return _adapter().validate_python(
        {
            "number": payload["number"],
            "knobs": seen["point"],
            "status": seen["status"],
            "metric": seen["metric"],
            "stderr": seen["sd"],
            "objective": seen["objective"],
            "reason": seen["failure"] or "",
        }
    )


@cache
def _adapter() -> TypeAdapter[TrialResult]:
    """Checks the record; built on first use, as in `outcome`."""
    from pydantic import TypeAdapter

    return TypeAdapter(TrialResult)
