"""What ONNX Runtime computes, as arrays: all of its types, where Python's own reading of them fails or guesses."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from condensa_core.bench.inputs import Feeds
from condensa_core.bench.small_floats import from_bfloat16, from_float8e4m3fn, from_float8e5m2
from condensa_core.errors import UsageError

# IoBinding.copy_outputs_to_cpu of 1.31 reads these: it dies of strings (a segmentation fault), knows no bfloat16, and
# gives the bits of the 8-bit floats for integers.
_INTEGERS: Final = (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_PLAIN: Final = frozenset(f"tensor({element})" for element in ("float", "float16", "double", "bool", *_INTEGERS))
_SMALL: Final = {
    "tensor(bfloat16)": (from_bfloat16, np.uint16),
    "tensor(float8e4m3fn)": (from_float8e4m3fn, np.uint8),
    "tensor(float8e5m2)": (from_float8e5m2, np.uint8),
}
_TENSOR: Final = "tensor("


def plainly_read(kinds: Sequence[str]) -> bool:
    """Whether outputs of all these types (as `NodeArg.type` names them) are arrays of numpy as they are."""
    return _PLAIN.issuperset(kinds)


def are_tensors(kinds: Sequence[str]) -> bool:
    """Whether all are tensors, which can be bound: a sequence that is bound grows with every run."""
    return all(kind.startswith(_TENSOR) for kind in kinds)


def read_value(value: Any) -> np.ndarray:
    """The tensor of an OrtValue that lies on the host or a device; small floats as float32, strings as objects.

    UsageError for a type that has no reading here.
    """
    kind = value.data_type()
    if kind in _SMALL:
        read, width = _SMALL[kind]
        return read(np.frombuffer(_host_bytes(value), width)).reshape(value.shape())
    if kind in _PLAIN or kind == "tensor(string)":
        return np.array(value.numpy())  # numpy() is a view of what the next run writes
    raise UsageError(f"outputs of the type {kind} cannot be read", hint="export the model with tensors as outputs")


def flattened(named: Mapping[str, Any]) -> Feeds:
    """Values as `InferenceSession.run` gives them, sequences and maps taken apart: `scores[0]`, `scores[0][cat]`."""
    found: dict[str, np.ndarray] = {}
    for name, value in named.items():
        if isinstance(value, dict):
            found |= flattened({f"{name}[{key}]": one for key, one in value.items()})
        elif isinstance(value, list):
            found |= flattened({f"{name}[{i}]": one for i, one in enumerate(value)})
        elif value is not None:  # an optional that is empty
            found[name] = np.asarray(value)
    return found


def _host_bytes(value: Any) -> bytes:
    if value.device_name().lower() != "cpu":
        raise UsageError(f"outputs of the type {value.data_type()} can be read on the cpu alone")
    return ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes()) if value.tensor_size_in_bytes() else b""
