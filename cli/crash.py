"""An unexpected exception is a bug of ours: its traceback goes to a file, one paragraph goes to the user."""

from __future__ import annotations

import os
import platform
import shlex
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from condensa_core import __version__
from condensa_core.errors import CondensaError, Interrupted, RunFailed
from condensa_core.report.ending import continued, refusal_of, what_broke
from condensa_core.run_lock import taken


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
    where = f"The traceback is in {saved}" if saved else "The traceback could not be saved"
    return f"{what_broke(error)}\nThis is a bug in condensa. {where}; please report it with the command you ran."


class Crash(Exception):
    """Carries an unexpected exception (its cause) out of a command, with the directory its traceback belongs in.

    `continue_with` is the command that goes on with the run, None where it had not begun.
    """

    def __init__(self, directory: Path, continue_with: str | None) -> None:
        super().__init__(str(directory))
        self.directory = directory
        self.continue_with = continue_with


@contextmanager
def runs_under(root: Path, resume: Sequence[str] = ("condensa", "resume")) -> Iterator[None]:
    """What leaves the block names the run directory that this process made at or under `root`, if it came so far.

    A failure or an interruption, also by a second signal, says how to continue: with `resume` and the directory. An
    unexpected exception leaves as `Crash`.
    """
    before = len(taken)
    try:
        yield
    except (RunFailed, Interrupted) as error:
        _tell(error, _directory_of(root, before), resume)
        raise
    except (KeyboardInterrupt, SystemExit) as error:
        refusal = refusal_of(error)
        assert refusal is not None
        _tell(refusal, _directory_of(root, before), resume)
        raise refusal from None
    except (CondensaError, typer.Exit, typer.Abort):
        raise
    except Exception as error:
        directory = _directory_of(root, before)
        if directory is None:
            raise
        raise Crash(directory, _going_on(directory, resume)) from error


def _tell(error: CondensaError, directory: Path | None, resume: Sequence[str]) -> None:
    """Tell the error its run, and how to go on with it, unless the run itself has."""
    if error.run_dir is not None or directory is None:
        return
    error.run_dir, error.continue_with = str(directory), _going_on(directory, resume)
    if error.continue_with is not None and isinstance(error, (RunFailed, Interrupted)):
        error.hint = continued(error.hint, error.continue_with)


def _going_on(directory: Path, resume: Sequence[str]) -> str | None:
    """The command, None for a run that was stopped before there was anything to go on with."""
    return shlex.join([*resume, str(directory)]) if (directory / "manifest.json").is_file() else None


def _directory_of(root: Path, before: int) -> Path | None:
    """Of the run directories that this process has held, but for the first `before`, the last one that is root itself
    or lies at root/<name>/<utc>-<hash6>."""
    here = root.resolve()
    found = [path for path in taken[before:] if here in (path.resolve(), path.resolve().parent.parent)]
    return found[-1] if found else None
