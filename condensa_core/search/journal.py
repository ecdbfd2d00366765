"""What happened, one line per event, in a file that survives the death of the process at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from condensa_core.errors import ResumeError, RunFailed
from condensa_core.plain_file import open_plain, read_plain
from condensa_core.search.journal_records import is_record
from condensa_core.whole_file import remedy, sync

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One line after the first: `kind` says what `payload` (JSON values) describes."""

    kind: str
    payload: Mapping[str, Any]


class Journal:
    """An append-only JSON-lines file; each line carries a checksum and is on the disk before `append` returns.

    Line 1 holds the format and a fingerprint of everything that makes trials comparable. A torn last line (the process
    died while writing it) is dropped when the file is opened; any other damage is refused. Keep one writer per file.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Open for appending, or create.

        Raises ResumeError for a journal of another fingerprint, of a newer format, or damaged; RunFailed if the disk
        refuses.
        """
        self.path = path
        self.fingerprint = fingerprint
        self._entries: list[Entry] = []
        try:
            existed = path.exists()
            sound = self._load() if existed else 0
            self._file = open_plain(path, os.O_RDWR | os.O_CREAT)
            self.torn_bytes = os.fstat(self._file).st_size - sound  # of a last line, dropped
            os.ftruncate(self._file, sound)
            os.lseek(self._file, sound, os.SEEK_SET)
        except OSError as err:
            raise RunFailed(f"cannot open the journal {path}: {err.strerror}", hint=remedy(err)) from err
        self._size = sound
        if sound == 0:
            self._write({"format": FORMAT, "fingerprint": fingerprint})
            with self._refusing():
                sync(path.parent)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything appended so far, in order, by this process and by those before it."""
        return tuple(self._entries)

    def append(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Add an entry; on return it is on the disk. RunFailed if the disk refuses, and then nothing was added.

        The payload holds JSON values and finite numbers only.
        """
        self._write({"kind": kind, "payload": dict(payload)})
        self._entries.append(Entry(kind, payload))

    def last(self, kind: str) -> Mapping[str, Any] | None:
        """The payload of the latest entry of this kind."""
        return next((entry.payload for entry in reversed(self._entries) if entry.kind == kind), None)

    def close(self) -> None:
        """Give the file back; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load(self) -> int:
        """Read what is sound into `entries`; the size in bytes up to there."""
        header, entries, sound = _read(self.path)
        if header is None:
            return 0
        if header.get("fingerprint") != self.fingerprint:
            raise ResumeError(
                f"{self.path} belongs to another recipe, model or version",
                hint="start a new run, or restore what was changed",
            )
        self._entries = entries
        return sound

    def _write(self, record: dict[str, Any]) -> None:
        line = _line(record)
        with self._refusing():
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                os.fsync(self._file)
            except OSError:
                with contextlib.suppress(OSError):  # a torn line is dropped by whoever opens the file next
                    os.ftruncate(self._file, self._size)  # shrinking needs no space
                    os.lseek(self._file, self._size, os.SEEK_SET)
                raise
        self._size += len(line)

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise RunFailed(f"cannot write the journal {self.path}: {err.strerror}", hint=remedy(err)) from err


def read_journal(path: Path) -> tuple[str, tuple[Entry, ...]]:
    """The fingerprint and the sound entries of a journal, without touching the file (it may be in use).

    Raises ResumeError when there is none, or it is damaged or of a newer format.
    """
    try:
        header, entries, _ = _read(path)
    except OSError as err:
        raise ResumeError(
            f"cannot read the journal {path}: {err.strerror}", hint="look at the permissions of the folder"
        ) from err
    if header is None:
        raise ResumeError(f"{path} holds no journal: the run was stopped before its first record")
    return str(header["fingerprint"]), tuple(entries)


def _read(path: Path) -> tuple[dict[str, Any] | None, list[Entry], int]:
    """Header (None: not even that is whole), sound entries, and the size in bytes of the sound part."""
    data = read_plain(path)
    records: list[Any] = []
    sound = 0
    for number, (line, end) in enumerate(_lines(data), start=1):
        record = _checked(line)
        if record is None:
            if end < len(data) or not _is_torn(line):
                raise ResumeError(f"{path}:{number}: this line is damaged", hint="start a new run")
            break
        records.append(record)
        sound = end
    if not records:
        return None, [], 0
    head = records[0]
    if not isinstance(head, dict) or not isinstance(head.get("fingerprint"), str):
        raise ResumeError(f"{path}:1: this is not the first line of a journal", hint="start a new run")
    found = head.get("format")
    if not isinstance(found, int) or found > FORMAT:
        raise ResumeError(
            f"{path} has journal format {found}; this version reads up to {FORMAT}", hint="use a newer condensa"
        )
    for number, record in enumerate(records[1:], start=2):
        if not is_record(record):
            raise ResumeError(f"{path}:{number}: this line is whole, and holds no such record", hint="start a new run")
    return head, [Entry(record["kind"], record["payload"]) for record in records[1:]], sound


def _is_torn(line: bytes) -> bool:
    """Whether a last line was cut off while it was written: its newline is missing, or a block of it that never reached
    the disk reads as zeros, which no record holds."""
    return not line.endswith(b"\n") or b"\0" in line


def _lines(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Each line with its newline if it has one, and the offset after it."""
    end = 0
    for line in data.splitlines(keepends=True):
        end += len(line)
        yield line, end


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":"), allow_nan=False)
    return f'{{"crc32":"{zlib.crc32(text.encode()):08x}","record":{text}}}\n'.encode()


def _checked(line: bytes) -> Any:
    """The record of a whole line; None when the newline is missing or the checksum differs."""
    if not line.endswith(b"\n"):
        return None
    try:
        outer = json.loads(line)
        record = outer["record"]
        intact = outer["crc32"] == f"{zlib.crc32(json.dumps(record, separators=(',', ':')).encode()):08x}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if intact else None
