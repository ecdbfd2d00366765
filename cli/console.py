"""The two streams: results on stdout, everything else on stderr; colours only where a terminal asks for them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from condensa_core.errors import MachineError, RunFailed

from .exit_codes import BROKEN_PIPE
from .problems import printable

if TYPE_CHECKING:
    from condensa_core.report import Table

_UNENDING = 10_000  # columns of a file or a pipe: one line a row


class _Forgiving:
    """A stream that loses what it cannot write: its reader has left, or its disk is full."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _ForgivingConsole(Console):
    """A console that loses what its stream refuses, so that a lost log never ends a run."""

    @property
    def file(self) -> IO[str]:
        return _Forgiving(super().file)  # type: ignore[return-value]

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file


def stderr() -> Console:
    """Where logs, progress and errors go. Made anew for each use, because tests and redirections swap the stream."""
    return _ForgivingConsole(stderr=True, highlight=False, soft_wrap=True)


def plain(text: str, style: str = "") -> Text:
    """A text that may hold names and messages of others: nothing in it steers the terminal, nothing is markup."""
    return Text(printable(text), style=style)


def say(*parts: RenderableType) -> None:
    """Print on stderr."""
    console = stderr()
    for part in parts:
        console.print(plain(part) if isinstance(part, str) else part)


def show(*parts: RenderableType) -> None:
    """Print results on stdout: texts as they are (never wrapped), tables fitted to the terminal.

    Elsewhere than on a terminal no row of a table is folded, whatever its width.
    """
    console = _ForgivingConsole(highlight=False)  # which writes to the stream even when it captures, if only nothing
    if not console.is_terminal:
        console.width = _UNENDING
    shown = ""
    for part in parts:
        with console.capture() as capture:
            if isinstance(part, str):
                console.print(plain(part), soft_wrap=True)
            else:
                console.print(part, soft_wrap=isinstance(part, Text))
        padded = isinstance(part, RichTable) and not console.is_terminal
        shown += "\n".join(line.rstrip() for line in capture.get().split("\n")) if padded else capture.get()
    write(shown)


def show_json(document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command on stdout, in ASCII, which every terminal can write.

    NaN is a bug in the document, not in the reader.
    """
    write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def write(text: str) -> None:
    """Write to stdout; when the reader has left (`condensa plan x | head`), end quietly as SIGPIPE would.

    Characters that its encoding does not have are written as escapes. MachineError where the disk below stdout refuses;
    nothing happens where stdout was closed from the start.
    """
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except OSError as err:
        raise given_up(err) from err


def given_up(err: OSError) -> typer.Exit | MachineError:
    """How to end where stdout refused with `err`; what it has not taken is dropped, and all that follows."""
    # otherwise the interpreter flushes once more while it ends, and complains
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(err, BrokenPipeError):
        return typer.Exit(BROKEN_PIPE)
    return MachineError(
        f"cannot write to stdout: {err.strerror}", hint="free disk space, or direct the output elsewhere"
    )


def refused_by_stdout(err: BaseException) -> bool:
    """Whether it is stdout that refused: what it has not taken, it refuses again."""
    if not isinstance(err, OSError) or sys.stdout is None:
        return False
    try:
        sys.stdout.write("")  # where nothing is buffered
        sys.stdout.flush()
    except OSError:
        return True
    return False


@contextmanager
def after_work(hint: str) -> Iterator[None]:
    """A result that stdout refuses inside the block is RunFailed, with this `hint`: the work is done."""
    try:
        yield
    except MachineError as err:
        raise RunFailed(err.message, hint=f"{err.hint}; {hint}") from err


def drawn(table: Table) -> RichTable:
    """A table of texts as rich draws it; numbers of a column stand under each other."""
    rich_table = RichTable(
        title=plain(table.title) if table.title else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    for column, name in enumerate(table.columns):
        numeric = all(row[column][:1].isdigit() or row[column] in ("", "-") for row in table.rows)
        rich_table.add_column(plain(name), justify="right" if numeric and column else "left", overflow="fold")
    for row in table.rows:
        rich_table.add_row(*(plain(cell) for cell in row))
    return rich_table
