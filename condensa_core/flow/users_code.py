"""Whose mistake it is: an exception that passed a line of the user's Python is that line's."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from condensa_core.errors import CondensaError, RunFailed, UserCodeFailed
from condensa_core.workload.out_of_memory import is_out_of_memory
from condensa_core.workload.python_reference import ending
from condensa_core.workload.sudden_end import no_sudden_end


@contextmanager
def blaming(files: Collection[Path]) -> Iterator[None]:
    """UserCodeFailed, with file and line, for an exception whose traceback passes one of the `files`; leaving by
    `sys.exit` or `os._exit` is one. Others, and those that condensa raises on purpose, pass as they are."""
    try:
        with no_sudden_end():
            yield
    except CondensaError:
        raise
    except (Exception, SystemExit) as err:
        if is_out_of_memory(err):  # of the machine, whoever asks for it
            raise
        frames = [f for f in traceback.extract_tb(err.__traceback__) if Path(f.filename) in files]
        if not frames:
            raise
        place = f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}"
        if isinstance(err, SystemExit):
            raise UserCodeFailed(f"{place} called {ending(err)}") from err
        raise UserCodeFailed(f"{place}: {type(err).__name__}: {err}") from err


@contextmanager
def failing_the_run() -> Iterator[None]:
    """What the user's code raises once work has begun ends the run as RunFailed: it can be continued."""
    try:
        yield
    except UserCodeFailed as err:
        raise RunFailed(err.message, hint=err.hint) from err
