"""Telling a machine that is out of memory from everything else that may go wrong."""

from __future__ import annotations

import re
from typing import Final

import torch

# What torch, its libraries and ONNX Runtime write where they get no memory, on the CPU (where torch raises a plain
# RuntimeError) and on GPUs.
_SIGNS: Final = re.compile(
    r"can't allocate memory|not enough memory|cannot allocate memory|out of memory|failed to allocate memory|bad_alloc"
    r"|ALLOC_FAILED",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation was refused: of Python, of torch on any device, or of ONNX Runtime."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError)) and _SIGNS.search(str(error)) is not None


def release() -> None:
    """Give back what torch keeps of a GPU's memory for allocations to come."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
