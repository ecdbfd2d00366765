"""The generators of the long fuzzing are scripts beside each other, not a package: their folder goes onto the path."""

import contextlib
import resource
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "fuzz"))


@pytest.fixture
def peak():
    """A limit, in bytes, on what the block takes in addition: more of it is a MemoryError."""

    @contextlib.contextmanager
    def limited(more):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    return limited
