"""What run.log holds besides the events: what the run is made on, and tracebacks."""

from __future__ import annotations

import json
import os
import platform
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from condensa_core import __version__
from condensa_core.bench import describe_machine
from condensa_core.errors import CondensaError, Interrupted
from condensa_core.run_directory import RunDirectory, versions


@contextmanager
def recorded(directory: RunDirectory, recipe_sha256: str) -> Iterator[None]:
    """Begins with versions, machine and recipe; ends with the traceback of what leaves the block, if anything does.

    An interruption has none.
    """
    packages = ", ".join(f"{name} {version}" for name, version in versions().items() if version is not None)
    with suppress(CondensaError):  # a log that cannot be written is no reason to lose a run
        directory.log(
            f"condensa {__version__}, process {os.getpid()}, recipe {recipe_sha256}\n{packages}\n"
            f"{platform.platform()}, {json.dumps(describe_machine().to_json())}"
        )
    try:
        yield
    except Interrupted:
        raise
    except BaseException as err:
        with suppress(CondensaError):
            directory.log("".join(traceback.format_exception(err)).rstrip())
        raise


def log_failed_attempt(folder: Path, number: int, attempt: int, err: Exception) -> None:
    """Adds the traceback of a trial's attempt to the log of the run in `folder`, if there is disk and memory for it."""
    with suppress(CondensaError, MemoryError):
        trace = "".join(traceback.format_exception(err)).rstrip()
        RunDirectory.open(folder).log(f"trial {number}, attempt {attempt} failed\n{trace}")


def log_crashed_attempt(folder: Path, number: int, attempt: int, stack: str) -> None:
    """Adds what a process said, when a trial's attempt crashed it, to the log of the run in `folder`."""
    with suppress(CondensaError):
        RunDirectory.open(folder).log(f"trial {number}, attempt {attempt} crashed its process\n{stack}")
