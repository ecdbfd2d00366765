"""The memory that running a file takes, in a process of its own: beside others it could not be told whose it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.runner import open_runner
from condensa_core.bench.stretch import busy
from condensa_core.bench.target import BenchTarget

_STATUS: Final = Path("/proc/self/status")
_PEAK_RESET: Final = Path("/proc/self/clear_refs")
_MODULES: Final = {"onnxruntime": "onnxruntime", "openvino": "openvino", "torch": "torch", "torch-inductor": "torch"}
TIMEOUT_S: Final = 120.0


@dataclass(frozen=True)
class Resident:
    """Resident bytes of a process: with the runtime, and at most while it loaded and ran the file."""

    before_bytes: int
    peak_bytes: int


def resident_memory(path: Path, target: BenchTarget, feeds: Feeds) -> Resident | None:
    """Measured in a new process on zeros of the same shapes; None where the system does not tell, or the run fails."""
    if not _STATUS.is_file() or target.device != "cpu":
        return None
    asked = {
        "path": str(path.resolve()),
        "target": asdict(target),
        "inputs": [[name, array.dtype.str, list(array.shape)] for name, array in feeds.items()],
    }
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


def _measured(asked: dict[str, object]) -> Resident:
    target = BenchTarget(**asked["target"])  # type: ignore[arg-type]
    inputs = asked["inputs"]
    feeds = {name: np.zeros(shape, np.dtype(kind)) for name, kind, shape in inputs}  # type: ignore[attr-defined]
    import_module(_MODULES.get(target.backend, "onnxruntime"))
    before = _status_bytes("VmRSS")
    with suppress(OSError):
        _PEAK_RESET.write_text("5")  # the peak of importing is not the model's
    with open_runner(target, str(asked["path"]), feeds) as runner:
        run, _ = busy(runner, target)
        run()
        return Resident(before, _status_bytes("VmHWM"))


def _status_bytes(key: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_measured(json.load(sys.stdin)))) + "\n")
