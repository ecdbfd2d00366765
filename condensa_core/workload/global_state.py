"""What Python, numpy and torch keep for the whole process, given back as it was after code that is not ours."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.random import mtrand
from torch import Tensor

_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

# Where the user's code went last, as long as that is not where we are: it finds its relative paths from there.
_their_directory: str | None = None
# What it draws from, unless it is seeded: exchanged with numpy's own, whose state takes 0.1 ms to copy.
_their_numpy: Final = np.random.MT19937()
_depth = 0


@dataclass(frozen=True, eq=False)
class Draws:
    """Where the global generators of torch (on the CPU) and Python stand, and the one that numpy draws from."""

    torch: Tensor
    numpy: Any
    python: Any

    @classmethod
    def now(cls) -> Draws:
        return cls(torch.get_rng_state(), mtrand.get_bit_generator(), random.getstate())

    def put_back(self) -> None:
        torch.set_rng_state(self.torch)
        mtrand.set_bit_generator(self.numpy)
        random.setstate(self.python)


def seed_draws(seed: int) -> None:
    """Start the global generators of torch, numpy and Python anew, where somebody puts them back; `seed` >= 0."""
    torch.manual_seed(seed)
    mtrand.set_bit_generator(np.random.MT19937(seed))
    random.seed(seed)


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Inside, the global generators of torch, numpy and Python begin at `seed`; afterwards they are where they were."""
    draws = Draws.now()
    try:
        seed_draws(seed)
        yield
    finally:
        draws.put_back()


@contextmanager
def keeping_global_state() -> Iterator[None]:
    """Inside, anything may be set; afterwards torch's default type and device, grad mode and number of threads, what
    numpy does about overflows, the global generators, the handlers of SIGINT, SIGTERM and SIGHUP (in the main thread)
    and the working directory are what they were. A directory that the code went to is its own again in the next block.

    A generator that yields under `no_grad` would otherwise leave its caller without gradients.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    grad, threads = torch.is_grad_enabled(), torch.get_num_threads()
    errors, handlers, draws = np.geterr(), _handlers(), Draws.now()
    global _depth
    if _depth == 0:
        mtrand.set_bit_generator(_their_numpy)
    _depth += 1
    try:
        with _in_their_directory():
            yield
    finally:
        _depth -= 1
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        if torch.is_grad_enabled() != grad:
            torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        np.seterr(**errors)
        for number, handler in handlers.items():
            if signal.getsignal(number) != handler:
                signal.signal(number, handler)
        draws.put_back()


def _handlers() -> dict[signal.Signals, Any]:
    """Those that can be set again from Python, and from this thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in _SIGNALS}
    return {number: handler for number, handler in found.items() if handler is not None}


@contextmanager
def _in_their_directory() -> Iterator[None]:
    global _their_directory
    ours = _directory()
    if _their_directory is not None:
        with suppress(OSError):  # it may be gone
            os.chdir(_their_directory)
    try:
        yield
    finally:
        theirs = _directory()
        _their_directory = None if theirs == ours else theirs
        if ours is not None and theirs != ours:
            with suppress(OSError):
                os.chdir(ours)


def _directory() -> str | None:
    """None where it has been removed."""
    try:
        return os.getcwd()  # noqa: PTH109  # the text, in a path that runs for every batch
    except OSError:
        return None
