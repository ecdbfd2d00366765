"""How long the threads of this process waited for a core that others had, told by the scheduler of Linux."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TASKS: Final = Path("/proc/self/task")
# Each turn on a core may begin with waking it up, the runtime's own doing: 31 us on average on a virtual machine
# (2053 turns of a thread of ONNX Runtime, in the quietest of three stretches). A neighbour's turn lasts milliseconds.
WAKING_NS: Final = 50_000


@dataclass(frozen=True)
class Turns:
    """Of a thread, since it began: nanoseconds on a core, nanoseconds ready and without one, turns on a core."""

    ran_ns: int
    waited_ns: int
    count: int


def turns() -> Mapping[str, Turns] | None:
    """Of every thread of this process, by its number; None where the system does not tell."""
    found = {}
    try:
        for task in _TASKS.iterdir():
            try:
                ran, waited, count = map(int, (task / "schedstat").read_text(encoding="ascii").split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since
            found[task.name] = Turns(ran, waited, count)
    except (OSError, ValueError):
        return None
    return found or None


def contention_between(before: Mapping[str, Turns], after: Mapping[str, Turns]) -> float:
    """Time on cores and waiting for them, over time on cores: 1 on a quiet machine, 2 when every core is shared.

    Short waits, as for a core to wake up, do not count. It is that of the threads that are there at the end.
    """
    began = Turns(0, 0, 0)
    ran = waited = 0
    for thread, now in after.items():
        then = before.get(thread, began)
        ran += now.ran_ns - then.ran_ns
        waited += max(0, now.waited_ns - then.waited_ns - WAKING_NS * (now.count - then.count))
    return 1 + waited / ran if ran > 0 else 1.0
