"""What a process says while a crash ends it, for the one that goes on: a later attempt must not die of it for ever."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from condensa_core.whole_file import make_folder

FILE: Final = "crash-{}.txt"  # by attempt
_STDERR: Final = 2
_MOST_READ: Final = 1 << 16
# What faulthandler calls them. SIGKILL, and with it a machine that loses its power or has no memory left, lets nobody
# speak: such an end is nobody's fault that could be told.
_SIGNALS: Final = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
    "Floating point exception": "SIGFPE",
    "Floating-point exception": "SIGFPE",
}
_FRAME: Final = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')

# Open files, the outermost first: the innermost is told. Of the process, as what ends it is.
_open: list[int] = []


def _silent_in_forks() -> None:
    """A process that the user's code forks has the file, too, and its end is not that of the run."""
    if _open:
        _open.clear()
        faulthandler.disable()


os.register_at_fork(after_in_child=_silent_in_forks)


@dataclass(frozen=True)
class LastWords:
    """`signal` ended the process; `place` is where its Python stood, `text` the whole stack."""

    signal: str
    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.signal} ended the process that worked on it, at {self.place}"


@contextlib.contextmanager
def leaving_last_words(path: Path, about: str) -> Iterator[Callable[[str], None]]:
    """Inside, a crash of this process (SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE) leaves its stack at `path`, below a
    line `about` what was done. A block that ends, however it does, leaves no file.

    What it is given replaces the line.

    Blocks may be nested; the innermost has the word. A disk that refuses the file costs the words, never the run.
    """
    try:
        make_folder(path.parent)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError:
        yield lambda about: None
        return
    others = faulthandler.is_enabled() and not _open  # a debugger's or a test's; to stderr, as far as anybody can tell

    def say(about: str) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, f"{_line(about)}\n".encode())

    say(about)
    _open.append(handle)
    faulthandler.enable(handle)
    try:
        yield say
    finally:
        _open.pop()
        faulthandler.disable()
        if _open or others:
            faulthandler.enable(_open[-1] if _open else _STDERR)
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink()


def last_words(path: Path, about: str) -> LastWords | None:
    """What a process left at `path` that crashed at what `about` says; None if none did, or none that could speak."""
    found = whoever_spoke(path)
    return found[1] if found is not None and found[0] == _line(about) else None


def whoever_spoke(path: Path) -> tuple[str, LastWords] | None:
    """What a process was about that crashed, and what it left at `path`; None if none did, or none that could speak."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_READ).decode(errors="replace")
    except OSError:
        return None
    header, _, stack = text.partition("\n")
    named = re.match(r"Fatal Python error: (.*)", stack)
    if named is None:
        return None
    signal = _SIGNALS.get(named[1].strip(), named[1].strip())
    _, current, crashed = stack.partition("Current thread ")
    frame = _FRAME.search(crashed if current else stack)
    place = f"{PurePath(frame['file']).name}:{frame['line']} in {frame['name']}" if frame else "no line of Python"
    return header, LastWords(signal, place, stack.strip())


def _line(about: str) -> str:
    return " ".join(about.split())
