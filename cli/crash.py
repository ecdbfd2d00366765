"""An unexpected exception is a bug of ours: its traceback goes to a file, one paragraph goes to the user."""

from __future__ import annotations

import os
import platform
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from condensa_core import __version__
from condensa_core.errors import CondensaError


def save_traceback(error: BaseException, directory: Path | None) -> Path | None:
    """The file that now holds the traceback: in the run directory where there is one, else a temporary file.

    None if neither can be written: the message matters more than its file.
    """
    text = "".join(traceback.format_exception(error))
    header = f"condensa {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
    for folder in (directory, Path(tempfile.gettempdir())):
        if folder is None or not folder.is_dir():
            continue
        try:
            number, name = tempfile.mkstemp(prefix="condensa-crash-", suffix=".txt", dir=folder, text=True)
            with os.fdopen(number, "w", encoding="utf-8", errors="replace") as file:
                file.write(header + text)
            return Path(name)
        except OSError:
            continue
    return None


def apology(error: BaseException, saved: Path | None) -> str:
    """The paragraph for the user: what happened, where the traceback is, what to do."""
    first_line = (str(error).splitlines() or [""])[0]
    what = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    where = f"The traceback is in {saved}" if saved else "The traceback could not be saved"
    return f"internal error: {what}\nThis is a bug in condensa. {where}; please report it with the command you ran."


class Crash(Exception):
    """Carries an unexpected exception (its cause) out of a command, with the directory its traceback belongs in."""

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self.directory = directory


@contextmanager
def crashes_into(directory: Path | None) -> Iterator[None]:
    """Unexpected exceptions of the block leave as `Crash`; refusals and exits pass unchanged."""
    try:
        yield
    except (CondensaError, typer.Exit, typer.Abort):
        raise
    except Exception as err:
        if directory is None:
            raise
        raise Crash(directory) from err
