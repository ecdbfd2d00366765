"""What this machine refuses before any work has begun: nothing is there to continue, and the recipe may be right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from condensa_core.errors import MachineError, WorkloadError, first_line
from condensa_core.workload.out_of_memory import is_out_of_memory
from condensa_core.workload.python_reference import failing_line

_HINT: Final = "close other programs, read less data, or take a larger machine"


@contextmanager
def memory_before_work() -> Iterator[None]:
    """MachineError for an allocation that is refused inside, whoever asked for it; also as a decorator."""
    try:
        yield
    except WorkloadError as err:  # what tries a model takes all that it raises for the model's fault
        cause = err.__cause__
        while cause is not None and not is_out_of_memory(cause):
            cause = cause.__cause__
        if cause is None:
            raise
        raise _refused(cause) from err
    except (OSError, MemoryError, RuntimeError) as err:
        if not is_out_of_memory(err):
            raise
        raise _refused(err) from err


def _refused(err: BaseException) -> MachineError:
    return MachineError(f"out of memory at {failing_line(err)}: {first_line(err)}", hint=_HINT)
