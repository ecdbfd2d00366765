"""Whether what is to be loaded fits into memory, asked before the kernel answers by killing the process."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

from condensa_core.errors import MachineError

# Resident memory that a loaded file takes over its weights: ONNX Runtime 1.31 and float32, 153 MiB for 96 MiB.
RESIDENT: Final = 1.6
# The same of a session without optimisations, which keeps no second form of the weights: with both, a chain of products
# of 311 MB took 706 MB.
REFERENCE: Final = 1.0
_CGROUP: Final = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Memory that this process may still take: of the machine, of its container and of its own limit."""
    found = [psutil.virtual_memory().available]
    try:
        ceiling = (_CGROUP / "memory.max").read_text().strip()
        if ceiling != "max":
            found.append(int(ceiling) - int((_CGROUP / "memory.current").read_text()) + _reclaimable())
    except (OSError, ValueError):
        pass  # no container, or one that does not tell
    try:
        import resource
    except ImportError:  # Windows
        return min(found)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        found.append(limit - psutil.Process().memory_info().vms)
    return max(0, min(found))


def require_memory(needed_bytes: float, what: str) -> None:
    """MachineError, with both sizes, when `what` takes more than there is."""
    free = available_bytes()
    if needed_bytes > free:
        raise MachineError(
            f"{what} would take about {needed_bytes / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free",
            hint="measure fewer or smaller models at once, or a smaller batch, or take a larger machine",
        )


def _reclaimable() -> int:
    """What the container holds of files, which it gives up when asked."""
    lines = (line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    return next((int(value) for name, value in lines if name == "inactive_file"), 0)
