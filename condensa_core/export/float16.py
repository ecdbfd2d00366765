"""Weights stored in half the bytes, computed with in float32."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from condensa_core.errors import ExportFailed

if TYPE_CHECKING:
    import onnx


def store_float16(model: onnx.ModelProto, parameters: Mapping[str, Tensor], names: Set[str]) -> frozenset[str]:
    """Store the initializers of the named parameters as float16 followed by a Cast to float32; in place.

    ONNX Runtime evaluates the Cast once, at load: same speed, same numbers, half the bytes. The change is exact:
    ExportFailed if a value is not a float16 number (round the weights first), or if `names` holds an unknown parameter.
    A parameter is found by its name or, where the exporter renamed or transposed it, by its values. Returns the names
    that were stored; a parameter the exporter dropped or merged with another (a zero bias, say) is not among them.
    """
    import onnx
    from onnx import numpy_helper

    unknown = sorted(names - parameters.keys())
    if unknown:
        raise ExportFailed(f"float16 storage asked for {unknown[0]!r}, which the model does not have")
    initializers = {t.name: t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    stored: set[str] = set()
    casts = []
    for name in sorted(names):
        values = parameters[name].detach().cpu().numpy()
        if not np.array_equal(values.astype(np.float16).astype(values.dtype), values, equal_nan=True):
            raise ExportFailed(f"{name} holds values that float16 cannot represent: storing it would change them")
        found = _find(initializers, name, values)
        if found is None:
            continue
        tensor = initializers.pop(found)  # a tensor is rewritten once, even when tied parameters name it twice
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name=f"{found}.float16")
        decode = onnx.helper.make_node("Cast", [half.name], [found], name=f"{found}.decode", to=onnx.TensorProto.FLOAT)
        casts.append(decode)
        tensor.CopyFrom(half)
        stored.add(name)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return frozenset(stored)


def _find(initializers: Mapping[str, onnx.TensorProto], name: str, values: np.ndarray) -> str | None:
    """The float32 initializer that holds `values`: the one of that name, else the first that is equal or transposed."""
    from onnx import numpy_helper

    for candidate in (name, *initializers):
        if candidate not in initializers:
            continue
        held = numpy_helper.to_array(initializers[candidate])
        if np.array_equal(held, values) or (values.ndim == 2 and np.array_equal(held, values.T)):
            return candidate
    return None
