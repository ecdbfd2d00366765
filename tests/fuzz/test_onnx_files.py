"""A share of the mutated ONNX files of benchmarks/fuzz through `bench`.

In a process of its own, as runtimes have threads that no fork of this one would have.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz" / "run.py"
FIRST = 10**6  # beyond the cases of the long run


def test_no_mutated_model_makes_bench_stumble():
    command = [sys.executable, SCRIPT, "onnx", "--first", FIRST, "--count", FIRST + 1000, "--seconds", "4"]

    done = subprocess.run(
        [str(part) for part in command], env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr
    cases, failures = re.search(r"\| `condensa bench FILE.onnx` \| ([\d,]+) \| (\d+) \|", done.stdout).groups()
    assert int(cases.replace(",", "")) > 10 and failures == "0"
