"""A file appears under its name whole or not at all; and what to do where the disk refuses it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_REMEDIES: Final = {
    "free disk space": (errno.ENOSPC, errno.EDQUOT),
    "make it writable": (errno.EACCES, errno.EPERM, errno.EROFS),
    "raise the limit on the size of files (ulimit -f)": (errno.EFBIG,),
    "raise the limit on open files (ulimit -n)": (errno.EMFILE, errno.ENFILE),
}
_ABANDONED_S: Final = 86400.0
PARTIAL: Final = ".partial-"  # begins the name of every file that is not finished


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """A temporary path to write a file at; when the block ends well it is on the disk under its final name.

    When the block raises, or the process dies, whatever stood under the final name before is untouched. The temporary
    file lies in the same folder, which is made if need be, and keeps the final suffix, by which some writers choose the
    format: `.partial-<pid>-<random>-model.onnx`, as containers that share a folder may share
    numbers of processes too. OSErrors pass through; those that name no file, as of fsync, are given `final`.
    """
    partial = final.with_name(f"{PARTIAL}{os.getpid()}-{secrets.token_hex(4)}-{final.name}")
    try:
        make_folder(final.parent)
        yield partial
        sync(partial)
        partial.replace(final)
        sync(final.parent)
    except BaseException as err:
        with contextlib.suppress(OSError):  # what refused the file may refuse this too, and is what there is to tell
            partial.unlink(missing_ok=True)
        if isinstance(err, OSError) and err.filename is None:
            err.filename = str(final)
        raise


def remove_leftovers(folder: Path) -> None:
    """Removes unfinished files that a process left a day or longer before the folder last changed, where that process
    is not found here any more.

    For folders that processes share, also those of other containers, whose processes are not seen: hence the day.
    What cannot be removed stays.
    """
    with contextlib.suppress(OSError):
        _remove_leftovers(folder, folder.stat().st_mtime)


def _remove_leftovers(folder: Path, changed: float) -> None:
    for path in folder.glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError):
            if changed - path.lstat().st_mtime > _ABANDONED_S and not _is_running(path.name):
                path.unlink()


def _is_running(name: str) -> bool:
    pid = name.removeprefix(PARTIAL).partition("-")[0]
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def make_folder(path: Path) -> None:
    """A folder that is there, its name on the disk; and so are those above it. OSErrors pass through."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)  # a directory is synchronised through a handle of its own, like a file
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remedy(err: OSError) -> str:
    """What a user can do about a refusal of the disk, for the hint of an error."""
    return next((todo for todo, codes in _REMEDIES.items() if err.errno in codes), "check the disk")
