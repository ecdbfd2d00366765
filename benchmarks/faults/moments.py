"""Where in a run it was stopped, as its log has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

PHASES: Final = ("start-up", "reference", "profile", "trials", "conclusion")
_SIGNS: Final = (
    ("PhaseStarted(phase='conclude'", "conclusion"),
    ("TrialStarted(", "trials"),
    ("PhaseStarted(phase='profile'", "profile"),
    ("PhaseStarted(phase='reference'", "reference"),
)


def phase_of(directory: Path | None) -> str:
    """The latest phase that the last process in `directory` began; "start-up" before any, or without a directory."""
    log = directory / "run.log" if directory else None
    if log is None or not log.is_file():
        return "start-up"
    text = log.read_text(encoding="utf-8", errors="replace")
    last = re.split(r"(?m)^\S+ condensa \S+, process ", text)[-1]
    return next((phase for sign, phase in _SIGNS if sign in last), "start-up")
