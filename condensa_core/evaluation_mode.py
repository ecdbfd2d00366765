"""A model in evaluation mode, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from condensa_core.errors import WorkloadError, first_line


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model` in evaluation mode inside the block; afterwards each of its modules has the training flag it had.

    WorkloadError for a module that has no evaluation mode.
    """
    flags = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
    except NotImplementedError as error:
        raise WorkloadError(
            f"{type(model).__name__} has no evaluation mode: {first_line(error)}",
            hint="an exported program is not a model any more: give the model that it was made of",
        ) from error
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training
