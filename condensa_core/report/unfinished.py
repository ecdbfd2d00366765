"""How far a run came that has no result yet: its finished trials, and what ended it if that is known."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from condensa_core.errors import UsageError
from condensa_core.plain_file import read_plain
from condensa_core.report.ending import Ending, EndingStatus, ExitCode
from condensa_core.report.outcome import TrialResult
from condensa_core.run_lock import holder_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter


SCHEMA: Final = "condensa.unfinished/1"
JOURNAL: Final = "trials.jsonl"


@dataclass(frozen=True)
class Unfinished:
    """A run without a result: what `condensa report` prints of it (schema `condensa.unfinished/1`).

    Status and exit code are those of what ended it; `unfinished` and 4 where that is not known: it is under way, or was
    killed. `continue_with` is the command that goes on, null where there is nothing to go on with.
    """

    status: Literal["unfinished"] | EndingStatus
    exit_code: ExitCode
    reasons: tuple[str, ...]
    run_dir: str
    continue_with: str | None
    trials: tuple[TrialResult, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`."""
        return {"schema": SCHEMA, **asdict(self)}


def how_far(folder: Path, ending: Ending | None) -> Unfinished:
    """What is known of the run in `folder`, which has no result and may have an `ending`; UsageError if its journal
    cannot be read."""
    journal = folder / JOURNAL
    trials = finished_trials(journal) if journal.is_file() else ()
    # the command is of this folder: what a file says may come from anybody
    continued = ending is None or ending.continue_with is not None
    command = shlex.join(["condensa", "resume", str(folder)]) if continued else None
    count = f"{len(trials)} trial{'' if len(trials) == 1 else 's'} finished"
    how = f"unfinished: {count}; resume with: {command}" if command else f"not begun: {count}; start a new run"
    if (process := holder_of(folder)) is not None:
        how = f"under way in process {process}: {count}; if that is stopped, go on with: {command}"
    if ending is None:
        return Unfinished("unfinished", 4, (how,), str(folder), command, trials)
    reasons = (*ending.reasons, how)
    return Unfinished(ending.status, ending.exit_code, reasons, str(folder), command, trials)


def finished_trials(journal: Path) -> tuple[TrialResult, ...]:
    """The finished trials of a `trials.jsonl`, by number; the file may be in use, and is only read.

    A line that tells of no finished trial, or is not whole, is passed over: this looks, it does not verify, as resuming
    does. UsageError if the file cannot be read.
    """
    from pydantic import ValidationError

    try:
        lines = read_plain(journal).decode(errors="replace").split("\n")
    except OSError as err:
        raise UsageError(
            f"{journal} cannot be read: {err.strerror}", hint="look at the permissions of the folder"
        ) from err
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
