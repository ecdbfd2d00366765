"""The dimension of a model's inputs that an engine is free in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from condensa_core.engines.engine import Batches
from condensa_core.errors import UsageError

if TYPE_CHECKING:
    import onnx

_BATCH_SYMBOL: Final = re.compile(r"n|b|bs|.*batch.*", re.IGNORECASE)


def settled_batches(model: onnx.ModelProto, title: str, asked: Batches | None) -> Batches | None:
    """The batches its engine takes: what is asked (None: `Batches()`), or None where the file fixes its shapes.

    The batch is the open dimension called so, wherever it stands, else the first. Sizes of -1, as old exporters write
    them, are open; they are left out of the model, in place, because TensorRT takes them for sizes.
    UsageError where another dimension is open, or a file with fixed shapes is asked for other batches than its own.
    """
    _open_negative_sizes(model)
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initializers]
    opened = [
        (value.name, place, dimension.dim_param)
        for value in inputs
        for place, dimension in enumerate(_dimensions(value))
        if not dimension.HasField("dim_value")
    ]
    called = next((symbol for _, _, symbol in opened if _BATCH_SYMBOL.fullmatch(symbol)), None)
    for name, place, symbol in opened:
        if not (symbol == called if called and symbol else place == 0):
            raise UsageError(
                f"{title}: input {name!r} leaves dimension {place} ({symbol or '?'!r}) open beside the batch",
                hint="export it with that size fixed: an engine is made for sizes",
            )
    if opened:
        return asked or Batches()
    if asked is not None:
        _require_its_own(inputs, title, asked)
    return None


def _require_its_own(inputs: list[onnx.ValueInfoProto], title: str, asked: Batches) -> None:
    first = next((sizes for value in inputs if (sizes := [d.dim_value for d in _dimensions(value)])), [1])
    if asked != Batches(first[0], first[0], first[0]):
        shown = "x".join(map(str, first))
        raise UsageError(
            f"{title} fixes its shapes ({shown}), and is asked for {asked}",
            hint="leave out the batch, or export the model with a free one",
        )


def _open_negative_sizes(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in _dimensions(value):
            if dimension.dim_value < 0:
                dimension.ClearField("dim_value")


def _dimensions(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim
