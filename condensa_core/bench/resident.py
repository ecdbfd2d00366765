"""The memory that running a file takes, in a process of its own: beside others it could not be told whose it is."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.null_model import NULL_FEEDS, null_model
from condensa_core.bench.runner import open_runner, runtime_named
from condensa_core.bench.stretch import busy
from condensa_core.bench.target import BenchTarget

_STATUS: Final = Path("/proc/self/status")
_PEAK_RESET: Final = Path("/proc/self/clear_refs")
TIMEOUT_S: Final = 120.0


@dataclass(frozen=True)
class Resident:
    """Resident bytes of a process: after a null model, and at most while it then loaded and ran the file."""

    before_bytes: int
    peak_bytes: int


def resident_memory(path: Path, target: BenchTarget, feeds: Feeds) -> Resident | None:
    """Measured in a new process on zeros of the same shapes; None where the system does not tell, or the run fails."""
    if not _STATUS.is_file() or target.device != "cpu":
        return None
    with tempfile.TemporaryDirectory() as folder:
        null = Path(folder) / "null"
        null.write_bytes(null_model(runtime_named(target.backend).takes))
        inputs = [[name, array.dtype.str, list(array.shape)] for name, array in feeds.items()]
        asked = {"path": str(path.resolve()), "null": str(null), "target": asdict(target), "inputs": inputs}
        return _answer(asked)


def _answer(asked: Mapping[str, object]) -> Resident | None:
    command = [sys.executable, "-m", "condensa_core.bench.resident"]
    try:
        answer = subprocess.run(
            command,
            input=json.dumps(asked),
            env={**os.environ, "PYTHONSAFEPATH": "1"},  # no module of the folder that the user stands in
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        return Resident(**json.loads(answer.stdout.splitlines()[-1]))
    except (subprocess.SubprocessError, OSError, ValueError, IndexError, TypeError):
        return None


def _measured(asked: Mapping[str, Any]) -> Resident:
    target = BenchTarget(**asked["target"])
    feeds = {name: np.zeros(shape, np.dtype(kind)) for name, kind, shape in asked["inputs"]}
    _load_and_run(asked["null"], target, NULL_FEEDS)  # plugins, compilers and pools of threads are not the model's
    _return_what_is_free()
    before = _status_bytes("VmRSS")
    with suppress(OSError):
        _PEAK_RESET.write_text("5")
    _load_and_run(asked["path"], target, feeds)
    return Resident(before, _status_bytes("VmHWM"))


def _load_and_run(path: str, target: BenchTarget, feeds: Feeds) -> None:
    with open_runner(target, path, feeds) as runner:
        run, _ = busy(runner, target)
        run()


def _return_what_is_free() -> None:
    """Else the file would be given for nothing what the null model has left behind."""
    gc.collect()
    with suppress(AttributeError):  # other C libraries than glibc return it by themselves, or not at all
        ctypes.CDLL(None).malloc_trim(0)


def _status_bytes(key: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_measured(json.load(sys.stdin)))) + "\n")
