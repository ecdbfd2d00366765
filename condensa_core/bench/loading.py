"""What a runtime says of a file that it does not load, told so that the reader can act."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from condensa_core.errors import CondensaError, MachineError, UsageError, first_line

# Of ONNX Runtime 1.31 (unknown, unknown in the standard domain, without a kernel) and of OpenVINO 2026.4.
_UNKNOWN_OPERATORS: Final = (
    re.compile(r"([\w.]+:\w+)\(-?\d+\) is not a registered"),
    re.compile(r"No Op registered for (\w+)"),
    re.compile(r"Could not find an implementation for (\w+)"),
    re.compile(r"No conversion rule found for operations: (.+)"),
)
_OUT_OF_MEMORY: Final = re.compile(r"bad_alloc|bad allocation|failed to allocate|cannot allocate", re.IGNORECASE)
_PREAMBLE: Final = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed:|Exception from \S+:\s|Check '.*' failed at \S+:"
)


def refusal(runtime: str, path: Path, error: Exception) -> CondensaError:
    """The error to raise for what `runtime` raised when it loaded the file."""
    text = str(error)
    for pattern in _UNKNOWN_OPERATORS:
        found = pattern.search(text)
        if found:
            return UsageError(
                f"{path} uses operators that {runtime} does not have: {found[1].strip()}",
                hint="custom operators are not loaded: export the model without them, or measure it where they are",
            )
    if _out_of_memory(error):
        return MachineError(
            f"{runtime} ran out of memory when it loaded {path}",
            hint="close other programs, or measure it on a machine with more memory",
        )
    reason = first_line(Exception(_PREAMBLE.sub("", text)))
    return UsageError(f"{runtime} cannot load {path}: {reason}", hint="onnx.checker.check_model may tell more")


def failure(runtime: str, path: Path, error: Exception) -> CondensaError:
    """The error to raise for what `runtime` raised when it ran a file that it had loaded."""
    if _out_of_memory(error):
        return MachineError(f"{runtime} ran out of memory when it ran {path}", hint="try a smaller --batch or --shape")
    return UsageError(
        f"{runtime} loads {path} and cannot run it: {first_line(error)}",
        hint="it may want other inputs, see --shape and --inputs, or another --runtime",
    )


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None
