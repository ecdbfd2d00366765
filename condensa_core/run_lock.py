"""A run directory belongs to one process at a time, and that process knows which ones are its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from condensa_core.errors import ResumeError
from condensa_core.plain_file import open_plain

LOCK: Final = ".lock"
_SAYING_S: Final = 1.0  # in which whoever has just taken a lock has said so
_LOOK_S: Final = 0.05

taken: Final[list[Path]] = []  # every run directory that this process has held, in order
_held: Final[list[RunLock]] = []


class RunLock:
    """The lock of a folder, held until `release` or the death of the process; its file names the process until then.

    Processes that are forked do not hold it. ResumeError where another process does, OSError where the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = open_plain(folder / LOCK, os.O_RDWR | os.O_CREAT)
        try:
            _acquire(self._handle, folder)
            said = f"{os.getpid()}\n".encode()
            os.pwrite(self._handle, said, 0)
            os.ftruncate(self._handle, len(said))
        except BaseException:
            os.close(self._handle)
            raise
        _held.append(self)
        taken.append(folder)

    def release(self) -> None:
        """Let another process take the folder; once more is harmless."""
        if self not in _held:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, 0)  # a later process may have this number
        self._forget()

    def _forget(self) -> None:
        _held.remove(self)
        os.close(self._handle)


def holder_of(folder: Path) -> int | None:
    """The process that works in a folder, as far as this one can see; None if none does. Nothing is changed."""
    try:
        handle = open_plain(folder / LOCK, os.O_RDONLY)
    except (OSError, ResumeError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for a moment, which whoever wants to lock it waits for
    except BlockingIOError:
        said = os.pread(handle, 32, 0).decode(errors="replace").strip()
        return int(said) if said.isdecimal() else None
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(handle)
    return None


def _in_child() -> None:
    """A forked child shares the lock, and would hold it when this process is killed."""
    for lock in tuple(_held):
        lock._forget()
    taken.clear()


os.register_at_fork(after_in_child=_in_child)


def _acquire(handle: int, folder: Path) -> None:
    """Locks, or tells who has: for a second one waits for a holder that has not said its number yet."""
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as err:
            said = os.pread(handle, 32, 0).decode(errors="replace").strip()
            if said.isdecimal() and _is_running(int(said)):
                raise ResumeError(
                    f"{folder} is in use by process {said}", hint="wait until it ends, or stop it"
                ) from err
            if time.monotonic() - begun > _SAYING_S:
                raise _held_by_others(folder, handle, said) from err
        time.sleep(_LOOK_S)


def _held_by_others(folder: Path, handle: int, said: str) -> ResumeError:
    """The refusal where the process that took the lock has ended, or runs where this one cannot see it."""
    holders = ", ".join(map(str, _opened_by(handle)))
    by = f"process {holders}" if holders else "a process that is not seen from here"
    who = f"the run's own process {said} has ended, and {by} still holds" if said else f"{by} holds"
    return ResumeError(f"{folder} is in use: {who} its lock", hint="wait until that ends, or stop it")


def _opened_by(handle: int) -> list[int]:
    """The other processes that have the file open, as far as this one may look (Linux)."""
    here = os.fstat(handle)
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.path.samestat(link.stat(), here):
                found.add(int(link.parts[2]))
    return sorted(found - {os.getpid()})


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # somebody else's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
