"""The benchmarks are scripts beside each other, not a package: their folders go onto the path."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "search"), str(BENCHMARKS / "faults")]
