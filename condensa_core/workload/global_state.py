"""What torch keeps for the whole process, given back as it was after code that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def keeping_global_state() -> Iterator[None]:
    """Inside, anything may be set; afterwards the default type, the grad mode, the number of threads and the random
    state of torch's CPU generator are what they were.

    A generator that yields under `no_grad` would otherwise leave its caller without gradients.
    """
    dtype, grad, threads, drawn = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.get_rng_state(),
    )
    try:
        yield
    finally:
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        if torch.is_grad_enabled() != grad:
            torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_rng_state(drawn)
