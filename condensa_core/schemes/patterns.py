"""Regular sparsity written by the user: a Python function that says which weights live or die together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from condensa_core.errors import SchemeError

# Shape of a weight -> integers of that shape (tensor, array or nested lists): equal numbers are one group, entries with
# a negative number always survive.
Pattern = Callable[[tuple[int, ...]], Any]


def check_pattern(pattern: Pattern, shape: tuple[int, ...]) -> int:
    """How many groups `pattern` makes of a weight of that shape; SchemeError with what is wrong with it.

    Wrong is: it fails, its answer is not integers of that shape, it answers differently when asked again, or nothing is
    left to prune.
    """
    labels = labels_of(pattern, shape)
    if not torch.equal(labels, labels_of(pattern, shape)):
        raise SchemeError(
            f"{_named(pattern)} gives another answer for shape {shape} when asked again",
            hint="the groups must depend on the shape alone; seed what is random",
        )
    count = len(labels[labels >= 0].unique())
    if not count:
        raise SchemeError(f"{_named(pattern)} makes no group for shape {shape}: every label is negative")
    return count


def labels_of(pattern: Pattern, shape: tuple[int, ...]) -> Tensor:
    """The answer of `pattern` for that shape as an int64 tensor on the CPU; SchemeError if it is no such thing."""
    shape = tuple(shape)
    try:
        answer = pattern(shape)
    except Exception as err:  # the user's code may raise anything
        raise SchemeError(f"{_named(pattern)} fails for shape {shape}: {type(err).__name__}: {err}") from err
    if not isinstance(answer, Tensor):
        try:
            answer = torch.from_numpy(np.ascontiguousarray(answer))
        except (TypeError, ValueError) as err:
            raise SchemeError(f"{_named(pattern)} must return integers, got {type(answer).__name__}") from err
    if answer.dtype in (torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64):
        raise SchemeError(
            f"{_named(pattern)} must return integers, got {str(answer.dtype).removeprefix('torch.')}",
            hint="equal integers live or die together, negative ones always stay",
        )
    if tuple(answer.shape) != shape:
        raise SchemeError(f"{_named(pattern)} returns shape {tuple(answer.shape)} for a weight of shape {shape}")
    return answer.detach().long().cpu()


def _named(pattern: Pattern) -> str:
    return f"pattern {getattr(pattern, '__qualname__', type(pattern).__name__)}"
