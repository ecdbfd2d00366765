"""The user's Python runs in this process: what it could do to the command's answer, kept from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Whatever writes to stdout inside the block, through Python, a C library or a child process, writes to stderr."""
    with redirect_stdout(sys.stderr):
        kept = _descriptor()
        if kept is None:
            yield
            return
        try:
            yield
        finally:
            _flush(sys.__stdout__)  # what was written past the redirection belongs to stderr too
            os.dup2(kept, 1)
            os.close(kept)


def _descriptor() -> int | None:
    """A copy of what descriptor 1 was, which is stderr now; None where stdout is no such descriptor (in tests)."""
    if sys.__stdout__ is None:
        return None
    try:
        if sys.__stdout__.fileno() != 1:
            return None
        _flush(sys.__stdout__)
        kept = os.dup(1)
    except (OSError, ValueError):
        return None
    try:
        os.dup2(2, 1)
    except OSError:  # there is no stderr
        os.close(kept)
        return None
    return kept


def _flush(stream: Any) -> None:
    with suppress(OSError, ValueError):
        stream.flush()
