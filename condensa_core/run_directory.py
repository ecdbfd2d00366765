"""One run's folder: created once, owned by one process, and never holding a half-written file under its final name.

runs/<name>/<utc>-<hash6>/
  manifest.json  trials.jsonl  trials/003/  best/  result.json  run.log  .lock
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Final

from condensa_core.errors import MachineError, ResumeError, RunFailed, UsageError
from condensa_core.plain_file import open_plain, require_plain
from condensa_core.run_lock import RunLock
from condensa_core.whole_file import PARTIAL, make_folder, remedy, replacing, sync

MANIFEST: Final = "manifest.json"
_APPENDING: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_ELSEWHERE = "free disk space, make it writable, or choose another place with --out"
_TAKEN = "a file, or a link that leads nowhere, has a name of the path: remove it, or choose another place with --out"
_DISTRIBUTIONS = (
    "condensa-cli",
    "torch",
    "botorch",
    "gpytorch",
    "numpy",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scikit-learn",
)


class RunDirectory:
    """The folder of a run. Paths handed to its writers are relative to it and may name sub-folders."""

    def __init__(self, path: Path, lock: RunLock | None) -> None:
        """Use `create`, `resume` or `open`."""
        self.path = path
        self.resumed_by = (
            f"condensa resume {shlex.quote(str(path))}"  # for hints; some commands have a way of their own
        )
        self._lock = lock

    @classmethod
    def create(cls, root: Path, name: str, fingerprint: str) -> RunDirectory:
        """A new, empty, locked folder root/<name>/<utc>-<hash6>; a suffix -2, -3, ... if that one exists.

        Characters of `name` that a file system or shell might read as syntax become "-". MachineError when the folder
        cannot be made.
        """
        folder = re.sub(r"[^\w.-]+", "-", name).strip("-.")
        if not folder:
            raise UsageError(f"a run needs a name with letters or digits, got {name!r}")
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        hash6 = hashlib.sha256(fingerprint.encode()).hexdigest()[:6]
        try:
            path = _made(root / folder, f"{stamp}-{hash6}")
            sync(path.parent)
            return cls(path, RunLock(path))
        except OSError as err:
            hint = _TAKEN if isinstance(err, (FileExistsError, NotADirectoryError)) else _ELSEWHERE
            raise MachineError(f"cannot create a run under {root}: {err.strerror}", hint=hint) from err

    @classmethod
    def resume(cls, path: Path) -> RunDirectory:
        """An existing folder, locked to go on writing; unfinished files of the process before are removed.

        ResumeError when there is no such folder, when it holds no manifest (then nothing in it is touched: it may be
        anybody's), when it holds a link, or when a living process holds it (the message names the process);
        MachineError when it cannot be written.
        """
        directory = cls.open(path)
        try:
            if not (path / MANIFEST).is_file():
                hint = "it is no run directory, or the run stopped before it began: start a new run"
                raise ResumeError(f"{path} holds no {MANIFEST}", hint=hint)
            _require_plain_files(path)
            directory._lock = RunLock(directory.path)
            for leftover in directory.path.rglob(f"{PARTIAL}*"):
                leftover.unlink()
        except OSError as err:
            directory.close()
            raise MachineError(f"cannot continue {path}: {err.strerror}", hint=remedy(err)) from err
        return directory

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing folder for reading, whoever else uses it; ResumeError when there is none."""
        if not path.is_dir():
            raise ResumeError(
                f"there is no run directory {path}", hint="condensa report FOLDER lists the runs in a folder"
            )
        return cls(path, None)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """For the first files of a run: what the writers raise as RunFailed is MachineError inside the block.

        No work has been done by then, so there is nothing to continue.
        """
        try:
            yield
        except RunFailed as err:
            raise MachineError(err.message, hint=_ELSEWHERE) from err

    @contextmanager
    def replacing(self, name: str | PurePath) -> Iterator[Path]:
        """A temporary path to write a file at; when the block ends well it is on the disk under its final name.

        As `whole_file.replacing`, with the disk's refusals as RunFailed.
        """
        final = self._inside(name)
        with self._failing_run(final), replacing(final) as partial:
            yield partial

    def write_bytes(self, name: str | PurePath, content: bytes) -> Path:
        """Write a whole file, or nothing."""
        with self.replacing(name) as partial:
            partial.write_bytes(content)
        return self._inside(name)

    def write_text(self, name: str | PurePath, content: str) -> Path:
        """Write a whole UTF-8 file, or nothing."""
        return self.write_bytes(name, content.encode())

    def write_json(self, name: str | PurePath, content: Any) -> Path:
        """Write JSON for people and programs (indented, keys in given order, no NaN), or nothing."""
        return self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def log(self, message: str) -> None:
        """Append a line with the time in UTC to run.log; line breaks in the message are indented."""
        stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = self.path / "run.log"
        with self._failing_run(path), os.fdopen(open_plain(path, _APPENDING), "a", encoding="utf-8") as file:
            file.write(f"{stamp} " + message.replace("\n", "\n    ") + "\n")

    def close(self) -> None:
        """Let another process take the folder; closing twice is harmless."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _inside(self, name: str | PurePath) -> Path:
        assert not PurePath(name).is_absolute() and ".." not in PurePath(name).parts, name
        return self.path / name

    def refused(self, err: OSError, path: Path | None = None) -> RunFailed:
        """The error for a refusal of the disk after work has begun, about `path` or the file that `err` names."""
        what = path or err.filename or "a file of the run"
        hint = f"{remedy(err)}, then continue with: {self.resumed_by}"
        return RunFailed(f"cannot write {what}: {err.strerror or err}", hint=hint)

    @contextmanager
    def _failing_run(self, path: Path) -> Iterator[None]:
        """OSErrors of the block become RunFailed; condensa's own errors pass."""
        try:
            yield
        except OSError as err:
            raise self.refused(err, path) from err


def manifest(command: Sequence[str], *, seed: int, hashes: Mapping[str, str]) -> dict[str, Any]:
    """What it takes to know how a run came about, as JSON values; loads no heavy package.

    `hashes` names the inputs (recipe, weights, data) and their fingerprints.
    """
    return {
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": list(command),
        "seed": seed,
        "versions": versions(),
        "system": {"platform": platform.platform(), "machine": platform.machine()},
        "hashes": dict(hashes),
    }


def versions() -> dict[str, str | None]:
    """The versions of python and of what condensa builds on; None for what is not installed."""
    found: dict[str, str | None] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _made(parent: Path, name: str) -> Path:
    """A folder that did not exist before, called `name` or `name`-2, -3, ..."""
    make_folder(parent)
    count = 1
    while True:
        path = parent / (name if count == 1 else f"{name}-{count}")
        try:
            path.mkdir()
        except FileExistsError:
            count += 1
        else:
            return path


def _require_plain_files(path: Path) -> None:
    """ResumeError for a link anywhere inside, where what is written would land somewhere else, and for a FIFO or
    device, which would hold its reader for ever. Runs make none."""
    for folder, inner, files in os.walk(path):
        for name in (*inner, *files):
            entry = Path(folder) / name
            if entry.is_symlink():
                hint = "a run makes no links: put the file or folder itself there, or start a new run"
                raise ResumeError(f"{entry} is a link, and may lead out of the run directory", hint=hint)
        for name in files:
            require_plain(Path(folder) / name, os.lstat(Path(folder) / name))
