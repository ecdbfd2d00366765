"""Weights stored in half the bytes, computed with in float32."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from condensa_core.errors import OUR_FAULT, ExportFailed

if TYPE_CHECKING:
    import onnx


def halved(name: str, parameters: Mapping[str, Tensor]) -> Tensor:
    """The named parameter as a float16 tensor on the CPU with exactly its values.

    ExportFailed when there is no such parameter, or when it holds a value that is no float16 number (NaN included).
    """
    if name not in parameters:
        raise ExportFailed(f"float16 storage asked for {name!r}, which the model does not have", hint=OUR_FAULT)
    values = parameters[name].detach().cpu()
    half = values.to(torch.float16)
    if not torch.equal(half.to(values.dtype), values):
        raise ExportFailed(
            f"{name} holds values that float16 cannot represent: storing it would change them",
            hint="leave float16 out of the rules for this layer",
        )
    return half


def store_float16(model: onnx.ModelProto, parameters: Mapping[str, Tensor], names: Set[str]) -> frozenset[str]:
    """Store the initializers of the named parameters as float16 followed by a Cast to float32; in place.

    ONNX Runtime evaluates the Cast once, at load: same speed, same numbers, half the bytes. The change is exact
    or refused (see `halved`: round the weights first).
    A parameter is found by its name or, where the exporter renamed or transposed it, by its values. Returns the names
    that were stored; a parameter the exporter dropped or merged with another (a zero bias, say) is not among them.
    """
    import onnx
    from onnx import numpy_helper

    initializers = {t.name: t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    stored: set[str] = set()
    casts = []
    for name in sorted(names):
        halved(name, parameters)
        found = _find(initializers, name, parameters[name].detach().cpu().numpy())
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
