"""The signals that ask condensa to stop."""

from __future__ import annotations

import signal


def stops() -> tuple[signal.Signals, ...]:
    """SIGINT, SIGTERM, and SIGHUP of a terminal that is closed, unless that is ignored, as nohup has it."""
    hangup = [number for number in signal.Signals if number.name == "SIGHUP"]  # which Windows has not
    heard = [number for number in hangup if signal.getsignal(number) is not signal.SIG_IGN]
    return (signal.SIGINT, signal.SIGTERM, *heard)
