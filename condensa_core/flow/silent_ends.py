"""Processes that began an attempt at a trial and ended without a word: killed, for want of memory or by a scheduler."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from condensa_core.whole_file import make_folder

BEGUN: Final = "begun-{}.txt"  # by attempt: a line for each process that began it, with what was saved by then
STATE: Final = "lc-{}.safetensors"  # by attempt: what another process goes on with
# The system kills what takes too much memory at the same place each time, a scheduler only by chance.
MANY: Final = 3
_APART: Final = "apart "
_MOST_READ: Final = 1 << 16


@dataclass(frozen=True)
class Begins:
    """The processes that began an attempt of the trial in `folder`."""

    folder: Path
    attempt: int

    @property
    def trial(self) -> str:
        """Its number."""
        return self.folder.name.lstrip("0") or "0"

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts this process, if it is killed inside the block: one that ends, however it does, leaves no file.

        A disk that refuses the file costs the count, never the run.
        """
        self._write(self._saved())
        try:
            yield
        finally:
            with suppress(OSError):
                self._file.unlink()

    @property
    def killed(self) -> int:
        """How many were killed with the work saved that is saved now, and no more."""
        return self._lines().count(self._saved())

    @property
    def was_apart(self) -> bool:
        """Whether one of these was to work in a process of its own."""
        return _APART + self._saved() in self._lines()

    def set_apart(self) -> None:
        """From here on it works in a process of its own."""
        self._write(_APART + self._saved())

    @property
    def _file(self) -> Path:
        return self.folder / BEGUN.format(self.attempt)

    def _saved(self) -> str:
        """Another text each time that the state is replaced."""
        try:
            found = (self.folder / STATE.format(self.attempt)).stat()
        except OSError:
            return "nothing"
        return f"{found.st_mtime_ns} {found.st_size}"

    def _lines(self) -> list[str]:
        try:
            with self._file.open("rb") as file:
                return file.read(_MOST_READ).decode(errors="replace").splitlines()
        except OSError:
            return []

    def _write(self, line: str) -> None:
        with suppress(OSError):
            make_folder(self.folder)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")


def often_killed(run_dir: Path) -> Begins | None:
    """The attempt of the run that MANY processes, or more, were killed in since something was saved; None if none."""
    for file in sorted(run_dir.glob(f"trials/[0-9][0-9][0-9]*/{BEGUN.format('*')}")):
        attempt = re.fullmatch(BEGUN.format(r"([0-9]{1,3})"), file.name)
        begins = Begins(file.parent, int(attempt[1])) if attempt else None
        if begins is not None and begins.killed >= MANY:
            return begins
    return None
