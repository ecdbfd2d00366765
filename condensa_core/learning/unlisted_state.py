"""What a model keeps outside its state dict: buffers that are not persistent, and plain attributes of its modules."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from condensa_core.workload import device_of

# A number, a truth, or nothing yet. No text: a forged file could make a path of one.
Plain = bool | int | float | None

_OF_EVERY_MODULE: Final = frozenset(vars(nn.Module()))
_DEPTH: Final = 4
_MOST: Final = 1000  # entries of one container, and so for its numbers: a table of data is no counter


class UnlistedState:
    """The tensors and numbers that a model keeps so, and what of them has changed since this was made.

    By name, `<module>.<attribute>`. What comes into being later is not among them; `lost` names that, and other values
    that cannot be put back.
    """

    def __init__(self, model: nn.Module) -> None:
        self._tensors = {name: value.detach().clone() for name, value in _tensors(model)}
        self._numbers = dict(_numbers(model))
        self._others = {name: _trace(value) for name, value in _others(model)}

    def changed(self, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Plain]]:
        """Tensors and numbers that are not what they were."""
        tensors = {name: value for name, value in _tensors(model) if not _same(value, self._tensors.get(name))}
        numbers = {name: value for name, value in _numbers(model) if repr(value) != repr(self._numbers.get(name, ""))}
        return (
            {name: value for name, value in tensors.items() if name in self.names},
            {name: value for name, value in numbers.items() if name in self.names},
        )

    def lost(self, model: nn.Module) -> list[str]:
        """What has changed and is neither: it is not the same in a process that goes on from a saved state."""
        now = {name: _trace(value) for name, value in _others(model)}
        new = {name for name, _ in (*_tensors(model), *_numbers(model))} - self.names
        return sorted(new | {name for name, trace in now.items() if self._others.get(name) != trace})

    def fits(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Plain]) -> bool:
        """Whether these can be put in: only in places of tensors and numbers."""
        return numbers.keys() <= self.names and tensors.keys() <= self.names

    def put_back(
        self, model: nn.Module, tensors: Mapping[str, Tensor] | None = None, numbers: Mapping[str, Plain] | None = None
    ) -> None:
        """What was when this was made, but for these `changed` ones."""
        modules = dict(model.named_modules())
        for name, value in {**self._tensors, **self._numbers, **(tensors or {}), **(numbers or {})}.items():
            path, _, attribute = name.rpartition(".")
            module = modules[path]
            kept: dict[str, Any] = module._buffers if attribute in module._buffers else module.__dict__
            now = kept.get(attribute)
            if isinstance(value, Tensor):
                if isinstance(now, Tensor) and _same(now, value):
                    continue  # it may share its memory with others
                value = value.clone().to(now.device if isinstance(now, Tensor) else device_of(model))
            kept[attribute] = value

    @property
    def names(self) -> set[str]:
        """All that it knows of, changed or not."""
        return self._tensors.keys() | self._numbers.keys()


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Those that are no views of what the state dict has."""
    listed = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}
    yield from ((name, value) for name, value in _all(model) if value.untyped_storage().data_ptr() not in listed)


def _all(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, module in model.named_modules():
        for name in sorted(module._non_persistent_buffers_set):
            if module._buffers.get(name) is not None:
                yield f"{path}.{name}", module._buffers[name]
        yield from ((name, value) for name, value in _attributes(path, module) if _is_tensor(value))


def _numbers(model: nn.Module) -> Iterator[tuple[str, Plain]]:
    for path, module in model.named_modules():
        for name in sorted(module._non_persistent_buffers_set):
            if module._buffers.get(name) is None:
                yield f"{path}.{name}", None
        for name, value in _attributes(path, module):
            if value is None or type(value) in (bool, int, float):
                yield name, value


def _others(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, module in model.named_modules():
        if type(module).__module__.startswith("torch.") or isinstance(module, GraphModule):
            continue  # they keep nothing there, but lists of their own parameters
        for name, value in _attributes(path, module):
            if not (_is_tensor(value) or value is None or type(value) in (bool, int, float)):
                yield name, value


def _attributes(path: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name not in _OF_EVERY_MODULE:
            yield f"{path}.{name}", value


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, nn.Parameter)


def _same(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.dtype == other.dtype and torch.equal(one.detach(), other.to(one.device))


def _trace(value: Any, depth: int = _DEPTH) -> Any:
    """Something that is equal as long as nobody changes `value`, at any address."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, random.Random):
        return value.getstate()
    if _is_tensor(value) and value.numel() <= _MOST:
        return value.detach().cpu().tolist()
    if isinstance(value, (np.ndarray, np.generic)) and value.size <= _MOST:
        return value.tobytes()
    if depth == 0 or isinstance(value, (Tensor, nn.Module)):
        return type(value).__name__
    if isinstance(value, (list, tuple, deque)):
        return [len(value), *(_trace(entry, depth - 1) for entry in list(value)[:_MOST])]
    if isinstance(value, dict):
        return [len(value), *((repr(key), _trace(value[key], depth - 1)) for key in list(value)[:_MOST])]
    if not isinstance(value, type) and hasattr(value, "__dict__"):
        return [type(value).__name__, _trace(dict(vars(value)), depth - 1)]
    return type(value).__name__
