"""A run directory may come from a stranger: of what lies in it only plain files of a bounded size are opened.

A FIFO would hold its reader for ever, a device or a sparse file fill the memory, a link lead out of the directory.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePath
from typing import Final

from condensa_core.errors import ResumeError

LARGEST_TEXT: Final = 256 << 20  # bytes; a journal of ten thousand trials takes a fifth of it
_KINDS: Final = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}
_HINT: Final = "a run writes plain files alone: put the file itself there, or start a new run"


def open_plain(path: Path, flags: int) -> int:
    """The handle of a plain file, opened with `flags` of os.open, not inherited by programs that are started.

    It never waits. ResumeError, naming what is there, where that is no plain file, or is to be written in place and has
    another name besides; other OSErrors pass through.
    """
    try:
        handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as err:
        if err.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # a link, a FIFO or socket, a folder
            require_plain(path, os.lstat(path))
        raise
    try:
        found = os.fstat(handle)
        require_plain(path, found)
        if found.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
            raise ResumeError(
                f"{path} is a hard link: what is written there would change another file, too",
                hint="go on with a copy of the directory (cp -a), or start a new run",
            )
    except ResumeError:
        os.close(handle)
        raise
    return handle


def require_plain(path: Path, found: os.stat_result) -> None:
    """ResumeError where `found`, what is at `path`, is no plain file."""
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise ResumeError(f"{path} is {kind}, where a run has a plain file", hint=_HINT)


def path_below(folder: Path, name: str) -> Path:
    """Where the file `name` of a run directory lies, whether or not it exists.

    ResumeError where that leads out of it: an absolute path, one with "..", one that is a link or passes one.
    """
    relative = PurePath(name)
    path = folder / relative
    inner = [path, *path.parents][: len(relative.parts)]
    if relative.is_absolute() or ".." in relative.parts or any(step.is_symlink() for step in inner):
        raise ResumeError(f"{path} leads out of the run directory", hint=_HINT)
    return path


def read_plain(path: Path, at_most: int = LARGEST_TEXT) -> bytes:
    """The content of a plain file; ResumeError where it is none, or larger than `at_most` bytes.

    OSErrors pass through.
    """
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(at_most + 1) if size <= at_most else b""
    if size > at_most or len(content) > at_most:
        raise ResumeError(
            f"{path} takes {max(size, len(content)):,} bytes, and no run writes more than {at_most:,} there",
            hint="it is damaged, or no file of a run: start a new run",
        )
    return content


def read_plain_text(path: Path, at_most: int = LARGEST_TEXT) -> str:
    """The UTF-8 text of a plain file, as `read_plain`; UnicodeDecodeError, a ValueError, where it is none."""
    return read_plain(path, at_most).decode().replace("\r\n", "\n")
