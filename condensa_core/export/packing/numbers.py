"""A few numbers stored in the narrowest type that holds them exactly."""

from __future__ import annotations

import numpy as np

from condensa_core.export.packing.expressions import BFLOAT16, Constant, Expression, cast, operation, stored_bytes

_NARROW: tuple[type[np.integer | np.floating], ...] = (np.int8, np.uint8, np.float16, np.int16, np.uint16)


def stored_numbers(values: np.ndarray) -> Expression:
    """float32 numbers as they are, or cast from one or two bytes each where that is exact and smaller."""
    raw = Constant(values.astype(np.float32))
    narrow = narrowed(values)
    return raw if narrow is None or stored_bytes(narrow) >= stored_bytes(raw) else narrow


def narrowed(values: np.ndarray) -> Expression | None:
    """The float32 numbers cast from the narrowest type that holds all of them exactly, None if there is none."""
    for dtype in _NARROW:
        if _holds(values, dtype):
            return cast(Constant(values.astype(dtype)), np.float32)
    halves = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    if not (halves & 0xFFFF).any():
        return _from_bfloat16((halves >> 16).astype(np.uint16))
    return None


def _holds(values: np.ndarray, dtype: type[np.integer | np.floating]) -> bool:
    if issubclass(dtype, np.integer):
        limits = np.iinfo(dtype)
        return bool(((values >= limits.min) & (values <= limits.max) & (values == np.rint(values))).all())
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(dtype).astype(values.dtype), values))


def _from_bfloat16(halves: np.ndarray) -> Expression:
    import onnx

    return operation("Cast", Constant(halves, BFLOAT16), to=onnx.TensorProto.FLOAT)
