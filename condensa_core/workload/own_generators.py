"""Random generators that the user's data keeps for itself, found and started anew for each pass over it."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Sampler

from condensa_core.randomness import Seed

_GENERATORS: Final = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_DEPTH: Final = 8  # a loader's sampler of batches' sampler's data source's data set's transforms' list's one
_ENTRIES: Final = 64  # of one container: a list of transforms has fewer, a list of samples more
_OBJECTS: Final = 2000


def start_pass(source: Any, seed: Seed, number: int) -> None:
    """Seed every generator that `source` keeps from `seed`, and tell what has epochs the `number` of the pass.

    Found are those of torch, numpy and `random` in attributes, short containers, closures, partial functions and the
    globals that functions and methods name. Samplers and data sets are told by their `set_epoch`. State of other kinds
    is the user's.
    """
    for position, found in enumerate(_found(source)):
        root = seed.child("generator", position).root
        if isinstance(found, torch.Generator):
            found.manual_seed(root)
        elif isinstance(found, np.random.Generator):
            found.bit_generator.state = type(found.bit_generator)(root).state
        elif isinstance(found, np.random.RandomState):
            found.seed(root % 2**32)
        elif isinstance(found, random.Random):
            found.seed(root)
        else:
            found.set_epoch(number)


def _found(source: Any) -> Iterator[Any]:
    """Generators, and what has epochs, in an order that is the same in every process."""
    seen: dict[int, Any] = {}  # kept: an object that is gone would leave its number to another
    left: list[tuple[Any, int]] = [(source, _DEPTH)]
    while left and len(seen) < _OBJECTS:
        value, depth = left.pop(0)
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, _GENERATORS):
            yield value
            continue
        if isinstance(value, (Sampler, Dataset)) and callable(getattr(value, "set_epoch", None)):
            yield value
        if depth:
            left += [(inner, depth - 1) for inner in _inside(value)]


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        yield from value[:_ENTRIES]
    elif isinstance(value, dict):
        if len(value) <= _ENTRIES:
            yield from value.values()
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            try:
                inside = cell.cell_contents
            except ValueError:  # nothing was put in yet
                continue
            yield inside
        yield from _global_generators(value)
    elif not isinstance(value, (type, torch.Tensor, np.ndarray, nn.Module)) and hasattr(value, "__dict__"):
        for kind in type(value).__mro__:
            for function in vars(kind).values():
                if isinstance(function, FunctionType):
                    yield from _global_generators(function)
        # a loader whose processes stay keeps them in _iterator: what they hold is a copy that nobody here reaches
        yield from [inner for name, inner in vars(value).items() if name != "_iterator"]


def _global_generators(function: FunctionType) -> Iterator[Any]:
    """Those that it names, of its module."""
    named = (function.__globals__.get(name) for name in function.__code__.co_names)
    yield from (value for value in named if isinstance(value, _GENERATORS))
