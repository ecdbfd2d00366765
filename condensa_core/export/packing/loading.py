"""What it costs to load a file: decoding takes time and memory that a plain file does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from condensa_core.errors import OUR_FAULT, ExportFailed
from condensa_core.export.session import onnxruntime

# In a process of its own: memory that another session freed would be used again and seen as none.
_PROGRAM: Final = """
import json, resource, sys, time
import onnxruntime, psutil
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
process = psutil.Process()
before = process.memory_info().rss
started = time.process_time()
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
seconds = time.process_time() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
after = process.memory_info().rss
print(json.dumps({"cpu_s": seconds, "resident_bytes": after - before, "peak_bytes": max(peak, after) - before}))
"""


@dataclass(frozen=True)
class Loading:
    """Processor time of one session's creation on one thread, and the memory it added: afterwards, and at most."""

    cpu_s: float
    resident_bytes: int
    peak_bytes: int


def measure_loading(path: str | Path) -> Loading:
    """Load the file with default optimisation in a fresh process; ExportFailed if ONNX Runtime refuses it."""
    onnxruntime()  # MissingRuntime, before a process is started
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise ExportFailed(f"ONNX Runtime cannot load {Path(path).name}: {lines[-1]}", hint=OUR_FAULT)
    return Loading(**json.loads(answer.stdout))
