"""The generators of the long fuzzing are scripts beside each other, not a package: their folder goes onto the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "fuzz"))
