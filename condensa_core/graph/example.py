"""The example that a model is captured and checked with: one tensor for each argument of its forward."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condensa_core.errors import UsageError, WorkloadError
from condensa_core.graph.capture import evaluating_unfused


def example_tuple(model: nn.Module, given: object) -> tuple[Tensor, ...]:
    """The example inputs as a tuple; a list of tensors becomes one.

    UsageError for a tensor or anything else in place of the tuple; WorkloadError for an input that is no tensor.
    """
    if not isinstance(given, (tuple, list)):
        what = "a single tensor" if isinstance(given, Tensor) else f"a {type(given).__name__}"
        raise UsageError(
            f"the example inputs must be a tuple of tensors, one for each argument of the forward, got {what}",
            hint="write (x,) for a forward with one argument",
        )
    for x in given:
        if not isinstance(x, Tensor):
            raise WorkloadError(
                f"{type(model).__name__} is given an input that is no tensor, but a {type(x).__name__}",
                hint="compress the part that works on tensors, such as the backbone of a detector",
            )
    return tuple(given)


def samples_of(example: tuple[Tensor, ...]) -> int:
    """How many samples the first input holds along dimension 0; 1 if it has no dimension."""
    return example[0].shape[0] if example and example[0].ndim else 1


def require_samples(model: nn.Module, example: tuple[Tensor, ...]) -> None:
    """UsageError for fewer than 2 samples: torch.export takes a size of 1 for fixed, so no program would hold for more.

    A model that does not run on the one sample twice has no batch, and may have inputs of size 1.
    """
    samples = samples_of(example)
    if samples > 1 or not example or not example[0].ndim:
        return
    if samples == 0 or _runs(model, tuple(torch.cat([x, x]) if x.shape[:1] == (1,) else x for x in example)):
        raise UsageError(
            f"the example needs at least 2 samples along dimension 0, got {samples}",
            hint="a size of 1 would be taken for fixed: repeat the sample, as torch.cat([x, x]) does",
        )


def _runs(model: nn.Module, example: tuple[Tensor, ...]) -> bool:
    try:
        with evaluating_unfused(model), torch.no_grad():
            model(*example)
    except Exception:  # whatever the user's forward raises
        return False
    return True
