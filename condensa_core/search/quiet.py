"""What BoTorch and gpytorch say that no user can act on, kept from the user."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Messages of BoTorch 0.18, gpytorch 1.15 and torch 2.13: numerical floors, repeated fits, and a deprecation among
# themselves. Anything else they say comes through.
_KNOWN_WARNINGS = (
    r"`torch\.jit\.script` is deprecated",
    r"`scipy_minimize` terminated with status",
    r"Optimization failed",
    r"Very small noise values detected",
    r"A not p\.d\., added jitter",
    r"Negative variance values detected",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the known warnings while the block runs; the first import of gpytorch gives some, too."""
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield
